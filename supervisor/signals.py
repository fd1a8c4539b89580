"""Signals to us, as events. The handlers only record; the loop acts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
STOP_SIGNALS = (*KEYBOARD, signal.SIGTERM, signal.SIGHUP, *WARNINGS)
_WATCHED = (*STOP_SIGNALS, signal.SIGTSTP)
_WATCHED_IF_DEDICATED = (signal.SIGCHLD, signal.SIGWINCH)  # a caller may have its own use for them


class SignalInbox:
    """While open, collects the signals that concern a supervisor; outside the main thread it stays empty.

    What we were started to ignore (`nohup` and SIGHUP) stays ignored. Handlers are used, not masks: a blocked
    or ignored signal would be inherited by the child.
    """

    def __init__(self, *, dedicated: bool = False) -> None:
        self._watched = (*_WATCHED, *_WATCHED_IF_DEDICATED) if dedicated else _WATCHED
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            for number in self._watched:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, _record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """For select()."""
        return self._reader

    def receive(self) -> list[int]:
        """The signals that arrived since the last call, in order."""
        with suppress(BlockingIOError):
            # The descriptor tells of every signal that Python handles, our caller's own included.
            return [number for number in os.read(self._reader, 4096) if number in self._before]
        return []


def _record(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has recorded it already."""


def stop_ourselves() -> None:
    """Do what Ctrl-Z asks for; returns when the shell continues us."""
    os.kill(os.getpid(), signal.SIGSTOP)
