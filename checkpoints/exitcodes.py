"""What the exit codes of `python -m checkpoints` mean, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum

from checkpoints.errors import RunLocked, StorageFailed, UnsupportedFormat
from checkpoints.repair import CannotRepair


class ExitCode(IntEnum):
    """73, 74 and 78 are those of sysexits.h."""

    FINE = 0
    OFF = 1  # something is not as it should be, or there is no such run
    USAGE = 2
    LOCK_HELD = 73  # somebody else is writing the run
    STORAGE = 74  # I/O error, disk full
    CONFIGURATION = 78  # a format that this version cannot read, or a run that cannot be repaired


def exit_code(error: Exception) -> ExitCode:
    """The code that says what went wrong."""
    if isinstance(error, RunLocked):
        return ExitCode.LOCK_HELD
    if isinstance(error, StorageFailed | OSError):
        return ExitCode.STORAGE
    return ExitCode.CONFIGURATION if isinstance(error, UnsupportedFormat | CannotRepair) else ExitCode.OFF


def sentence(error: Exception) -> str:
    """The error in words, for stderr."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
