"""What our exit status says: to a shell, to a scheduler, and to `supervise`."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """75, 78 and the like are those of sysexits.h."""

    COMPLETE = 0
    FAILED = 1  # something outside broke: trying again may help
    USAGE = 2
    COMPLETE_UNSCORED = 3  # every sample has its record, but some have no score
    LOCK_HELD = 73
    STORAGE = 74
    REQUEUE = 75  # asked to go; progress is saved
    CONFIGURATION = 78
    INTERRUPTED = 130  # 128 + SIGINT
