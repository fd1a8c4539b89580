"""What the exit status of `supervise` says, and what a child may say to it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes that mean something between us, our child, and whoever called us.

    75 and 78 are those of sysexits.h; 126 and 127 those of the shell.
    """

    COMPLETE = 0
    USAGE = 2  # our own command line is wrong
    COMPLETE_UNSCORED = 3  # complete, but some samples have no score
    BAD_HARDWARE = 69  # run elsewhere
    RETRIES_SPENT = 70
    LOCK_HELD = 73  # somebody else is running this
    STORAGE = 74  # I/O error, disk full
    REQUEUE = 75  # progress is saved; run the same command again
    CONFIGURATION = 78  # the child's usage or configuration is wrong
    DO_NOT_REQUEUE = 93
    INTERNAL = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130  # 128 + SIGINT
