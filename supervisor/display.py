"""What the user sees of the supervisor: lines on standard error, and on a terminal a panel below the child's output.

What the child says is written raw where there is no panel; what we quote from it is stripped of control characters.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

from supervisor.duration import duration
from supervisor.progress import Progress
from supervisor.relay import Outlet, Sink
from supervisor.view import View

_PLAIN_INTERVAL_S = 10.0
_STYLES = {"info": "36", "good": "32", "bad": "31", "warn": "33"}


class Display(Protocol):
    """Where a supervision is shown."""

    @property
    def on_terminal(self) -> bool:
        """Whether the child's output goes to a terminal."""

    def line(self, text: str, style: str = "info") -> None:
        """Print one line of our own."""

    def outlet(self, number: int, in_a_hurry: Callable[[], bool]) -> Sink:
        """Where the child's standard output (1) or error (2) goes."""

    def show(self, view: View) -> None:
        """Show how things stand."""

    def due_in_s(self) -> float | None:
        """In how many seconds show() is to be called at the latest; None: whenever it suits."""

    def suspend(self) -> None:
        """Leave the terminal to somebody else for a while."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainDisplay:
    """Lines with a time, on one stream. A closed stream silences it; supervision goes on."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        # None where standard error was closed before we started.
        self._stream: TextIO | None = stream if stream is not None else sys.stderr
        self._clock, self._wall = clock, wall
        self._colour = _is_terminal(self._stream) and _wants_colour()
        self._at_line_start = True
        self._last_s = clock()
        self._last_text = ""

    @property
    def on_terminal(self) -> bool:
        """Whether the child's output goes to a terminal."""
        return _is_terminal(sys.stdout) and _is_terminal(sys.stderr)

    def line(self, text: str, style: str = "info") -> None:
        """Print one line of our own."""
        mark = f"\x1b[{_STYLES[style]}msupervise\x1b[0m" if self._colour else "supervise"
        start = "" if self._at_line_start else "\n"
        self._at_line_start = True
        time_of_day = time.strftime("%H:%M:%S", time.localtime(self._wall()))
        self._write(f"{start}{mark} {time_of_day}  {plain(text)}\n")

    def outlet(self, number: int, in_a_hurry: Callable[[], bool]) -> Sink:
        """Our own stream of that number, the child's bytes untouched."""
        raw = Outlet(number, in_a_hurry)

        def sink(data: bytes) -> None:
            self._at_line_start = data.endswith(b"\n")
            raw(data)

        return sink

    def show(self, view: View) -> None:
        """A line now and then, when there is something new."""
        now_s = self._clock()
        if now_s - self._last_s < _PLAIN_INTERVAL_S or not view.progress.done:
            return
        text = describe(view.progress)
        if text != self._last_text:
            self.line(text)
            self._last_s, self._last_text = now_s, text

    def due_in_s(self) -> float | None:
        """Nothing waits to be shown."""
        return None

    def suspend(self) -> None:
        """There is nothing to take away."""

    def close(self) -> None:
        """There is nothing to take away."""

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()


class PanelDisplay:
    """A panel at the bottom of the terminal, everything else above it."""

    on_terminal = True

    def __init__(self) -> None:
        from supervisor.panel import Panel

        encoding = (getattr(sys.stderr, "encoding", "") or "").lower().replace("-", "")
        self._outlet = Outlet(2)
        self._panel = Panel(
            self._outlet, shutil.get_terminal_size, colour=_wants_colour(), unicode=encoding.startswith("utf")
        )

    def line(self, text: str, style: str = "info") -> None:
        """Print one line of our own."""
        self._panel.line(text, style)

    def outlet(self, number: int, in_a_hurry: Callable[[], bool]) -> Sink:
        """Above the panel."""
        self._outlet.in_a_hurry = in_a_hurry
        return lambda data: self._panel.child(data, number)

    def show(self, view: View) -> None:
        """Draw the panel; a job in the background has no right to the screen."""
        if _in_foreground():
            self._panel.show(view)
        else:
            self._panel.suspend()

    def due_in_s(self) -> float | None:
        """Output of the child may wait to be drawn with what follows it."""
        due_s = self._panel.due_s()
        return None if due_s is None else max(0.0, due_s - time.monotonic())

    def suspend(self) -> None:
        """Take the panel away; show() brings it back."""
        self._panel.suspend()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._panel.close()


def make_display(*, plain_wanted: bool) -> Display:
    """A panel where both of our streams are the same terminal, which can move its cursor; else plain lines."""
    if plain_wanted or os.environ.get("TERM", "dumb") == "dumb" or not _same_terminal():
        return PlainDisplay()
    return PanelDisplay()


def _same_terminal() -> bool:
    if not (_is_terminal(sys.stdout) and _is_terminal(sys.stderr)):
        return False
    try:
        return os.ttyname(1) == os.ttyname(2)
    except OSError:
        return False


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except OSError:  # it is a terminal, but not the one that controls us
        return True


def _is_terminal(stream: TextIO | None) -> bool:
    with suppress(ValueError):  # it was closed
        return stream is not None and stream.isatty()
    return False


def _wants_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def describe(progress: Progress) -> str:
    """`16/64 · accuracy 31.2 % · 0.61 samples/s · 1m18s left`; the child's own status before there are numbers."""
    if progress.done is None or (progress.rate_per_s is None and progress.status and not progress.done):
        return progress.status or ""
    parts = [f"{progress.done}/{progress.total}" if progress.total is not None else f"{progress.done} done"]
    if progress.accuracy is not None:
        parts.append(f"accuracy {progress.accuracy:.1%}")
    if progress.rate_per_s is not None:
        parts.append(f"{progress.rate_per_s:.2f} samples/s")
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    return " · ".join(parts)


def plain(text: str) -> str:
    """The text without control characters: what a child says must not move our cursor."""
    return "".join(char if char.isprintable() else "�" for char in text)
