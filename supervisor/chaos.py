"""Harm on purpose, on a seeded schedule: what does a job survive?"""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from enum import StrEnum


class Harm(StrEnum):
    """What can be done to a child."""

    SEGV = "segv"
    KILL = "kill"
    ABRT = "abrt"
    BUS = "bus"
    TERM = "term"
    HANG = "hang"

    @property
    def signal(self) -> signal.Signals:
        """The signal that does it."""
        return signal.SIGSTOP if self is Harm.HANG else signal.Signals[f"SIG{self.value.upper()}"]


@dataclass(frozen=True)
class Chaos:
    """Harm the child about every `every_s` seconds, `limit` times at most (None: without end)."""

    harms: tuple[Harm, ...]
    every_s: float = 60.0
    seed: int = 0
    limit: int | None = None

    def strike(self, number: int) -> Strike | None:
        """The strike after `number` earlier ones: a pure function, so a schedule can be repeated.

        Each round of strikes does each harm once, in a shuffled order; the delay is uniform in 0.5 to 1.5 times
        `every_s`.
        """
        if self.limit is not None and number >= self.limit:
            return None
        harms = list(self.harms)
        random.Random(f"{self.seed}/round/{number // len(harms)}").shuffle(harms)
        delay_s = self.every_s * random.Random(f"{self.seed}/strike/{number}").uniform(0.5, 1.5)
        return Strike(harms[number % len(harms)], delay_s)


@dataclass(frozen=True)
class Strike:
    """One planned harm, `delay_s` seconds after the child is at work."""

    harm: Harm
    delay_s: float
