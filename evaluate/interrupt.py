"""SIGTERM and Ctrl-C: stop soon, lose nothing."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

from evaluate.errors import Interrupted

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """While open, the first signal is only recorded, and check() raises; a second one acts at once, as by default."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in _WATCHED:
            self._before[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        signal.signal(number, signal.SIG_DFL)


def raise_interrupted(number: int, _frame: FrameType | None) -> None:
    """A handler for the time before the first sample, when there is nothing to finish."""
    raise Interrupted(number)
