"""A clock that stands still while we do."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_STEP_S = 5.0


class AwakeClock:
    """Seconds in which this process was awake.

    CLOCK_MONOTONIC never jumps with the wall clock, and on Linux stands still while the machine is suspended. What is
    left is a supervisor that was stopped itself (Ctrl-Z, a paused virtual machine): read at least every second, a step
    of more than five seconds tells of that, and says nothing about the child.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last_s = monotonic()
        self._asleep_s = 0.0

    def __call__(self) -> float:
        """The present."""
        now_s = self._monotonic()
        if now_s - self._last_s > _LONGEST_STEP_S:
            self._asleep_s += now_s - self._last_s
        self._last_s = now_s
        return now_s - self._asleep_s
