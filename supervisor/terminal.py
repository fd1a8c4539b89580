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
        self._lent_to: int | None = None

    @property
    def present(self) -> bool:
        """Whether there is a terminal to lend."""
        return self._descriptor is not None

    def lend(self, group: int) -> None:
        """Make a process group the one that the keyboard speaks to, unless we are in the background by now (`bg`)."""
        if self._foreground() == os.getpgrp():
            self._set_foreground(group)
            self._lent_to = group

    def take_back(self) -> None:
        """Make ours that group again, unless the shell has given the terminal to another job."""
        group = self._foreground()
        if group is not None and (group == self._lent_to or _is_empty(group)):
            self._set_foreground(os.getpgrp())

    def suspend_ourselves(self) -> None:
        """Stop our whole job, as Ctrl-Z would have; returns when the shell continues it."""
        self.take_back()
        os.killpg(os.getpgrp(), signal.SIGSTOP)

    def _foreground(self) -> int | None:
        if self._descriptor is None:
            return None
        with suppress(OSError):
            return os.tcgetpgrp(self._descriptor)
        return None

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


def _is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _foreground_descriptor() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None
