"""Bars on a terminal; elsewhere a status for the supervisor and a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

from evaluate.notify import Notifier

_POLL_S = 0.2
_PLAIN_INTERVAL_S = 5.0


class ByteProgress:
    """How much of a download has arrived."""

    def __init__(self, what: str, total_bytes: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._what, self._total = what, total_bytes
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console,
            disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=total_bytes)
        self._plain = not console.is_terminal
        self._notifier = Notifier(os.environ)
        self._printed_s = time.monotonic()

    def show(self, done_bytes: int) -> None:
        """Show it, then wait a moment."""
        done = min(done_bytes, self._total)
        self._bar.update(self._task, completed=done)
        text = f"{self._what}: {done / 1e6:.0f} of {self._total / 1e6:.0f} MB"
        self._notifier.status(text)
        if self._plain and time.monotonic() - self._printed_s >= _PLAIN_INTERVAL_S:
            print(text, file=sys.stderr)
            self._printed_s = time.monotonic()
        time.sleep(_POLL_S)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class SampleProgress:
    """How many samples are done: a bar when we speak to the user ourselves, nothing when a supervisor does."""

    def __init__(self, what: str, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._supervised = os.environ.get("SUPERVISE") == "1"
        self._plain = not console.is_terminal and not self._supervised
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[accuracy]}"),
            TimeRemainingColumn(), console=console, disable=self._supervised or not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=total, completed=done, accuracy="")
        self._what, self._total = what, total
        self._printed_s = time.monotonic()

    def show(self, done: int, accuracy: float | None) -> None:
        """Show the latest numbers."""
        shown = "" if accuracy is None else f"accuracy {accuracy:.1%}"
        self._bar.update(self._task, completed=done, accuracy=shown)
        if self._plain and (time.monotonic() - self._printed_s >= _PLAIN_INTERVAL_S or done == self._total):
            print(f"{self._what}: {done}/{self._total} {shown}", file=sys.stderr)
            self._printed_s = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
