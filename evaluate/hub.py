"""Whether the Hugging Face hub answers, found out within seconds.

Its own clients wait for minutes: 23 to 46 s without DNS, over 300 s for a server that accepts and is silent.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from functools import lru_cache

PROBE_TIMEOUT_S = 8.0
_asked_by_user: list[bool] = []  # whether it was offline already, whenever we went offline


def endpoint() -> str:
    """Where the hub is; mirrors are named by HF_ENDPOINT."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_offline() -> bool:
    """Whether the user has asked for the cache only."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def work_offline() -> None:
    """From here on use the cache only. Works for Hugging Face's libraries that are not imported yet."""
    _asked_by_user.append(is_offline())
    os.environ["HF_HUB_OFFLINE"] = "1"


def problem() -> str | None:
    """Why the hub cannot be used, in words, or None when it answers."""
    if is_offline() and all(_asked_by_user):
        return "HF_HUB_OFFLINE is set"
    return probe(endpoint())


def in_short(error: Exception) -> str:
    """The first line of what a Hugging Face library says, which can be a page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(" .:")


@lru_cache
def probe(url: str, timeout_s: float = PROBE_TIMEOUT_S) -> str | None:
    """Ask once. Any HTTP answer will do; the thread bounds what no socket option bounds, such as DNS."""
    outcome: list[str | None] = [f"{url} did not answer within {timeout_s:g} s"]

    def ask() -> None:
        try:
            if not url.startswith(("https://", "http://")):
                raise ValueError("HF_ENDPOINT must begin with https://")
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # checked above
            urllib.request.urlopen(request, timeout=timeout_s).close()  # noqa: S310
            outcome[0] = None
        except urllib.error.HTTPError:
            outcome[0] = None
        except (OSError, ValueError) as error:
            outcome[0] = f"{url} cannot be reached ({getattr(error, 'reason', None) or error})"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return outcome[0]
