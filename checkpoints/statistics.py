"""What a run amounts to so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from checkpoints.checkpoint import Checkpoint
from checkpoints.record import Status


@dataclass(frozen=True)
class Statistics:
    """Read as attributes or by name, `stats["accuracy"]`; `dict(stats)` works too.

    `accuracy` is over the samples that were scored. A sample that errored is neither correct nor wrong, so it
    is counted in `errors`, and the accuracy that would hold if all of them were wrong or right is given by
    `accuracy_lower` and `accuracy_upper`. `scores` are means over the scored samples, one per metric. Times are
    in seconds, summed over all attempts; `eta_s` and `samples_per_s` are None while they cannot be known.
    """

    samples_processed: int
    total_samples: int | None
    correct_count: int
    errors: int
    accuracy: float | None
    accuracy_lower: float | None
    accuracy_upper: float | None
    scores: Mapping[str, float]
    status_counts: Mapping[str, int]
    attempts: int
    elapsed_s: float
    samples_per_s: float | None
    eta_s: float | None
    finished: bool

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names of the statistics."""
        return [field.name for field in fields(self)]


def describe(checkpoint: Checkpoint) -> Statistics:
    """Derive the statistics of a run from its running totals."""
    processed, correct = checkpoint.samples_processed, checkpoint.correct_count
    scored = checkpoint.status_counts.get(Status.SUCCESS, 0)
    errors = processed - scored
    total, elapsed_s = checkpoint.total_samples, checkpoint.elapsed_s
    rate = processed / elapsed_s if processed and elapsed_s > 0 else None
    return Statistics(
        samples_processed=processed,
        total_samples=total,
        correct_count=correct,
        errors=errors,
        accuracy=checkpoint.accuracy,
        accuracy_lower=correct / processed if processed else None,
        accuracy_upper=(correct + errors) / processed if processed else None,
        scores={name: value / scored for name, value in checkpoint.score_sums.items()} if scored else {},
        status_counts=dict(checkpoint.status_counts),
        attempts=checkpoint.attempt,
        elapsed_s=elapsed_s,
        samples_per_s=rate,
        eta_s=max(0, total - processed) / rate if rate and total is not None else None,
        finished=checkpoint.finished,
    )
