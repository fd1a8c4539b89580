"""What the user sees of the supervisor: plain lines on standard error, and on a terminal one status line.

What the child says is written raw by the relay; what we quote from it is stripped of control characters.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from supervisor.progress import Progress

_REDRAW_S = 0.2
_PLAIN_INTERVAL_S = 10.0
_CLEAR_LINE = "\r\x1b[2K"
_STYLES = {"info": "36", "good": "32", "bad": "31", "warn": "33"}


class Display:
    """Writes to one stream. A closed stream silences it; supervision goes on."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        # None where standard error was closed before we started.
        self._stream: TextIO | None = stream if stream is not None else sys.stderr
        self._clock = clock
        with suppress(ValueError):
            self._interactive = self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._interactive and not os.environ.get("NO_COLOR")
        self._shown = False
        self._at_line_start = True
        self._last_s = float("-inf")
        self._last_text = ""

    _interactive = False

    def line(self, text: str, style: str = "info") -> None:
        """Print one line of our own."""
        self._hide()
        mark = f"\x1b[{_STYLES[style]}msupervise\x1b[0m" if self._colour else "supervise"
        start = "" if self._at_line_start else "\n"
        self._at_line_start = True
        self._write(f"{start}{mark}  {plain(text)}\n")

    def make_way(self, data: bytes) -> None:
        """Call before the child's `data` is written to the terminal."""
        self._hide()
        self._at_line_start = data.endswith(b"\n")

    def progress(self, progress: Progress, *, attempt: int) -> None:
        """Show how far the work is: on a terminal in place, else as a line now and then when it has changed."""
        now_s = self._clock()
        text = describe(progress)
        if not text or now_s - self._last_s < (_REDRAW_S if self._interactive else _PLAIN_INTERVAL_S):
            return
        if self._interactive:
            if self._at_line_start:
                width = shutil.get_terminal_size().columns - 1
                self._write(f"{_CLEAR_LINE}{plain(f'attempt {attempt} · {text}')[:width]}")
                self._shown = True
                self._last_s = now_s
        # Elsewhere than on a terminal the child's own words are lines already; only numbers are news.
        elif progress.done and text != self._last_text:
            self.line(text)
            self._last_s, self._last_text = now_s, text

    def _hide(self) -> None:
        if self._shown:
            self._write(_CLEAR_LINE)
            self._shown = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._interactive = False


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


def duration(seconds: float) -> str:
    """`4.2s`, `3m07s`, `2h05m`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
