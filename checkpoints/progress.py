"""The running totals of a run: everything that a checkpoint says about its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from checkpoints.completed import CompletedSet
from checkpoints.record import Record, Status


@dataclass
class Progress:
    """Integers are kept and ratios are derived, so that nothing drifts."""

    completed: CompletedSet = field(default_factory=CompletedSet)
    correct_count: int = 0
    status_counts: Counter[str] = field(default_factory=Counter)
    score_sums: Counter[str] = field(default_factory=Counter)
    attempt: int = 0

    def add(self, record: Record) -> None:
        """Count one record. Raises ValueError when its sample is already counted."""
        self.completed.add(record.idx)
        self.correct_count += bool(record.is_correct)
        self.status_counts[record.status.value] += 1
        for name, value in record.scores.items():
            self.score_sums[name] += value  # type: ignore[assignment]  # sums of floats are floats
        self.attempt = max(self.attempt, record.attempt)

    @property
    def accuracy(self) -> float | None:
        """Correct over scored samples. None while nothing is scored: 0 would be a claim."""
        scored = self.status_counts[Status.SUCCESS.value]
        return self.correct_count / scored if scored else None
