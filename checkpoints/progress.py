"""The running totals of a run: everything that a checkpoint says about its records."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

from checkpoints.completed import CompletedSet
from checkpoints.record import Status


class Counted(Protocol):
    """What the totals need to know of a record."""

    @property
    def idx(self) -> int:
        """The sample's position."""

    @property
    def status(self) -> Status:
        """How it ended."""

    @property
    def is_correct(self) -> bool:
        """Whether it was answered right."""

    @property
    def scores(self) -> Mapping[str, float]:
        """One number per metric."""

    @property
    def attempt(self) -> int:
        """Who wrote it."""


@dataclass
class Progress:
    """Integers are kept and ratios are derived, so that nothing drifts."""

    completed: CompletedSet = field(default_factory=CompletedSet)
    samples_processed: int = 0
    correct_count: int = 0
    status_counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    score_sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    attempt: int = 0

    def add(self, record: Counted) -> None:
        """Count one record. Raises ValueError when its sample is already counted."""
        self.completed.add(record.idx)
        self.samples_processed += 1
        if record.is_correct:
            self.correct_count += 1
        self.status_counts[record.status._value_] += 1  # `.value` is a Python function: three times the time
        for name, value in record.scores.items():
            self.score_sums[name] += value
        if record.attempt > self.attempt:  # noqa: PLR1730 - max() costs a twentieth of all of record()
            self.attempt = record.attempt

    def extend(self, records: Sequence[Counted]) -> None:
        """add() them all: the same totals to the last bit, several times as fast. Raises ValueError.

        The totals are of no use after it raised.
        """
        self.completed.extend([each.idx for each in records])
        self.samples_processed += len(records)
        self.correct_count += sum([bool(each.is_correct) for each in records])
        for status, count in Counter([each.status for each in records]).items():
            self.status_counts[status.value] += count
        self.attempt = max(self.attempt, *[each.attempt for each in records])
        scores = [each.scores for each in records]
        try:
            columns = {name: [each[name] for each in scores] for name in scores[0]}
        except KeyError:
            columns = {}
        if {len(each) for each in scores} == {len(columns)}:
            for name, values in columns.items():
                # Not sum(): from Python 3.12 on it rounds otherwise than one addition after the other.
                self.score_sums[name] = reduce(operator.add, values, self.score_sums[name])
        else:
            for each in scores:
                for name, value in each.items():
                    self.score_sums[name] += value

    @property
    def accuracy(self) -> float | None:
        """Correct over scored samples. None while nothing is scored: 0 would be a claim."""
        scored = self.status_counts.get(Status.SUCCESS.value)
        return self.correct_count / scored if scored else None
