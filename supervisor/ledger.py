"""What the crashes have cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Span:
    """One attempt in time, in seconds on one clock; `kind` is how it failed, None if it did not.

    It worked from `working_s` (ready, or its start where nobody said so) until `last_commit_s`, its last committed
    samples; what it did after that is lost. `first_new_s` is when it first got further than all before it.
    """

    kind: str | None
    started_s: float
    ended_s: float
    working_s: float | None = None
    first_new_s: float | None = None
    last_commit_s: float | None = None


@dataclass(frozen=True)
class Ledger:
    """`recovery_s` are the times from a death to the first new sample after it; None where nobody reports samples.

    `useful_share` is the share of all the time in which samples were made that were kept.
    """

    attempts: int
    failures: dict[str, int] = field(default_factory=dict)
    total_s: float = 0.0
    lost_s: float | None = None
    useful_share: float | None = None
    recovery_s: tuple[float, ...] = ()

    @property
    def median_recovery_s(self) -> float | None:
        """The median time to recover."""
        return median(self.recovery_s) if self.recovery_s else None


def ledger(spans: Sequence[Span], total_s: float) -> Ledger:
    """Add up the attempts of a supervision that took `total_s` seconds."""
    useful_s = sum(
        span.last_commit_s - (span.started_s if span.working_s is None else span.working_s)
        for span in spans
        if span.last_commit_s is not None
    )
    counted = any(span.last_commit_s is not None for span in spans)
    recovery_s: list[float] = []
    died_s: float | None = None
    for span in spans:
        if span.first_new_s is not None:
            if died_s is not None:
                recovery_s.append(span.first_new_s - died_s)
            died_s = None
        if span.kind is not None and died_s is None:
            died_s = span.ended_s
    return Ledger(
        attempts=len(spans),
        failures=dict(Counter(span.kind for span in spans if span.kind is not None)),
        total_s=total_s,
        lost_s=max(0.0, total_s - useful_s) if counted else None,
        useful_share=min(1.0, useful_s / total_s) if counted and total_s > 0 else None,
        recovery_s=tuple(recovery_s),
    )
