"""Which samples go into which batch: a pure function of the dataset's size and the batch size.

A batch that was not completed is run again whole, so that a resumed run does the same arithmetic as an
uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """Samples `start` up to, but not including, `stop`."""

    number: int
    start: int
    stop: int

    @property
    def indices(self) -> range:
        """The samples' positions."""
        return range(self.start, self.stop)


def make_plan(total_samples: int, batch_size: int) -> list[Batch]:
    """All batches, in order. Raises ValueError for a batch size below 1."""
    if batch_size < 1:
        raise ValueError(f"a batch holds at least 1 sample, not {batch_size}")
    starts = range(0, total_samples, batch_size)
    return [Batch(number, at, min(at + batch_size, total_samples)) for number, at in enumerate(starts)]
