"""Every way in which the store says no.

CheckpointError
├── RunLocked           another process is writing this run
│   └── RunFenced       another process has taken this run over
├── RunMismatch         the run on disk was made with other settings
├── RunNotFound         there is no such run
├── RunNotOpen          record() before open(), or after close()
├── CorruptRun          valid data follows damaged data; recovery must not guess
├── UnsupportedFormat   written by a newer version
└── StorageFailed       the file system refused: no space, no permission, I/O error
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class CheckpointError(Exception):
    """Base of all errors that this package raises on purpose."""


class RunNotFound(CheckpointError):
    """There is no run at this path."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no run at {path}")


class RunNotOpen(CheckpointError):
    """A record was handed to a manager that does not hold the run's lock."""


class UnsupportedFormat(CheckpointError):
    """The run was written in a format that this version cannot read."""

    def __init__(self, path: Path, version: object) -> None:
        super().__init__(f"{path} has format version {version!r}, which this version of crashproof cannot read")


class StorageFailed(CheckpointError):
    """The file system refused. Nothing was acknowledged after this; a new process recovers what was."""

    def __init__(self, action: str, path: Path, error: OSError) -> None:
        super().__init__(
            f"could not {action} {path}: {error.strerror or error}. What was recorded before is kept; "
            "make the place writable or free some space, then run the same command again"
        )


class RunLocked(CheckpointError):
    """Another process holds the run's lock."""

    def __init__(self, path: Path, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"{path.parent} is being written by {holder}. Wait for it, stop it, or choose another run name"
        )


class RunFenced(RunLocked):
    """Another process has taken the run over: what this one writes from now on does not count."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.holder = f"attempt {attempt}"
        CheckpointError.__init__(
            self,
            f"{path} has been taken over by attempt {attempt}, on a file system that does not keep two writers apart. "
            "What this attempt recorded before is kept; let the other one finish",
        )


class CorruptRun(CheckpointError):
    """A file of the run is damaged in a way that no crash explains."""

    def __init__(self, path: Path, line: int, offset_bytes: int, what: str) -> None:
        self.path, self.line, self.offset_bytes, self.what = path, line, offset_bytes, what
        super().__init__(
            f"{path}, line {line}, byte {offset_bytes}: {what}. Nothing was changed; "
            f"`python -m checkpoints repair {path.parent}` tells what can be done"
        )


@dataclass(frozen=True)
class Difference:
    """One setting that is not what the run on disk was made with."""

    field: str
    stored: Any
    given: Any

    def __str__(self) -> str:
        return f"{self.field}: the run has {_short(self.stored)}, now given {_short(self.given)}"


def _short(value: object) -> str:
    """A hash is known by its beginning."""
    text = repr(value)
    return f"{text[:13]}…'" if len(text) == len(repr("0" * 64)) else text


class RunMismatch(CheckpointError):
    """Resuming would mix results of different configurations."""

    def __init__(self, path: Path, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        lines = "".join(f"\n  {difference}" for difference in differences)
        super().__init__(
            f"{path} was made with other settings, and is left as it is:{lines}\n"
            "Repeat those settings to resume it, or choose another run name"
        )
