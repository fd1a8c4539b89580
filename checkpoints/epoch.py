"""Which attempt may write where: a fence for file systems whose locks keep nobody out.

Each attempt with work to do leaves a file that no second process can make, with the log's length at that moment.
From that byte on, records of earlier attempts do not count: a writer that was frozen, taken over from and thawed
again can do no harm.
"""

from __future__ import annotations

import os
import re
import socket
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from checkpoints.atomic import create_file, make_directory
from checkpoints.encoding import seal, unseal
from checkpoints.errors import RunFenced
from checkpoints.layout import RunLayout

_NAME = re.compile(r"attempt-(\d{4,})\.json")


@dataclass(frozen=True, slots=True)
class Epoch:
    """An attempt, and the length of the log in bytes when it began."""

    attempt: int
    start_bytes: int


def numbers(layout: RunLayout) -> list[int]:
    """The attempts that have left their file, in order."""
    try:
        names = os.listdir(layout.attempts)  # noqa: PTH208 - only names are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def claim(layout: RunLayout, epoch: Epoch, now: float) -> None:
    """Begin an attempt, durably. Raises RunFenced when another process began it first, OSError."""
    make_directory(layout.attempts)
    about = {
        "attempt": epoch.attempt,
        "start_bytes": epoch.start_bytes,
        "started": now,
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    try:
        create_file(layout.attempt(epoch.attempt), seal(about))
    except FileExistsError:
        raise RunFenced(layout.root, epoch.attempt) from None


def read(layout: RunLayout, attempts: Iterable[int]) -> list[Epoch]:
    """The epochs of these attempts; a file that is damaged or gone is passed over, since it can only forbid."""
    found = []
    for attempt in attempts:
        try:
            value = unseal(layout.attempt(attempt).read_bytes())
            found.append(Epoch(attempt, int(value["start_bytes"])))
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            continue
    return found


class Fence:
    """Asks which attempt the bytes of a log belong to."""

    def __init__(self, epochs: Iterable[Epoch]) -> None:
        self._starts: list[int] = []
        self._attempts: list[int] = []
        for epoch in sorted(epochs, key=lambda each: each.attempt):
            self._starts.append(max(epoch.start_bytes, self._starts[-1] if self._starts else 0))
            self._attempts.append(epoch.attempt)

    def oldest_allowed(self, offset_bytes: int) -> int:
        """A record that begins here counts if its attempt is at least this."""
        at = bisect_right(self._starts, offset_bytes)
        return self._attempts[at - 1] if at else 0

    @property
    def last_start_bytes(self) -> int:
        """Where the newest attempt began; what lies before was synced then."""
        return self._starts[-1] if self._starts else 0


class Watch:
    """Looks whether a later attempt than ours has begun: after each sync, so it has to be quick."""

    def __init__(self, layout: RunLayout, attempt: int) -> None:
        self._layout = layout
        self._following = attempt + 1
        self._path = os.fspath(layout.attempt(self._following))

    def check(self) -> None:
        """Raise RunFenced when one has."""
        if os.path.exists(self._path):  # noqa: PTH110 - a Path takes three times as long
            raise RunFenced(self._layout.root, self._following)
