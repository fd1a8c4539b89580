"""Lending our terminal to the child, so that Ctrl-C and Ctrl-Z reach it as they would without us."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


class Terminal:
    """The controlling terminal, when we are its foreground job; otherwise every call does nothing."""

    def __init__(self) -> None:
        self._descriptor = _foreground_descriptor()

    @property
    def present(self) -> bool:
        """Whether there is a terminal to lend."""
        return self._descriptor is not None

    def lend(self, group: int) -> None:
        """Make a process group the one that the keyboard speaks to."""
        self._set_foreground(group)

    def take_back(self) -> None:
        """Make ours that group again."""
        self._set_foreground(os.getpgrp())

    def suspend_ourselves(self) -> None:
        """Stop our whole job, as Ctrl-Z would have; returns when the shell continues it."""
        self.take_back()
        os.killpg(os.getpgrp(), signal.SIGSTOP)

    def _set_foreground(self, group: int) -> None:
        if self._descriptor is None:
            return
        # A background group that does this is stopped by SIGTTOU unless it blocks it, and just for this
        # moment: the child would inherit a blocked or ignored signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with suppress(OSError):
                os.tcsetpgrp(self._descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _foreground_descriptor() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None
