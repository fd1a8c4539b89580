"""Telling the supervisor why we die: a JSON object in the file that `$SUPERVISE_ERROR_FILE` names."""

from __future__ import annotations

import errno
import json
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def declare(error: BaseException, environment: Mapping[str, str]) -> None:
    """Write it down; silent without a file to write to, and never raises: the error itself is what matters."""
    path = environment.get("SUPERVISE_ERROR_FILE")
    if not path:
        return
    value = {
        "kind": failure_kind(error),
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    with suppress(OSError):
        Path(path).write_text(json.dumps(value), encoding="utf-8")


def failure_kind(error: BaseException) -> str | None:
    """The supervisor's name for this failure; None when the message has to speak for itself."""
    from checkpoints import RunLocked, StorageFailed
    from evaluate.errors import ConfigurationError, FetchFailed

    if isinstance(error, StorageFailed) or (isinstance(error, OSError) and error.errno in _NO_SPACE):
        return "storage"
    if isinstance(error, RunLocked):
        return "lock-held"
    if isinstance(error, FetchFailed):
        return "transient"
    if isinstance(error, ConfigurationError):
        return "usage"
    # By name: torch is not imported to ask.
    return "cuda-oom" if type(error).__name__ == "OutOfMemoryError" else None
