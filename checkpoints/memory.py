"""A run that is kept nowhere, for those who switch checkpoints off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from checkpoints.checkpoint import Checkpoint
from checkpoints.progress import Progress
from checkpoints.record import Record
from checkpoints.statistics import Statistics, describe
from checkpoints.writer import Clock


class MemoryRun:
    """Counts records as CheckpointManager does, and forgets them."""

    def __init__(self, total_samples: int, *, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._progress = Progress(attempt=1)
        self._opened_s = self._clock.monotonic()
        now = self._clock.wall()
        self._start = Checkpoint("", total_samples, now, now)

    def is_completed(self, idx: int) -> bool:
        """Whether the sample has been recorded."""
        return idx in self._progress.completed

    def begin(self, idxs: Iterable[int]) -> None:
        """Nothing outlives this process, so nobody has to be told."""

    def record(self, *records: Record) -> None:
        """Raise ValueError for a sample that is recorded already."""
        for each in records:
            self._progress.add(replace(each, attempt=1))

    def get_statistics(self) -> Statistics:
        """The run so far."""
        elapsed_s = self._clock.monotonic() - self._opened_s
        return describe(self._start.advanced(self._progress, self._clock.wall(), elapsed_s, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""
