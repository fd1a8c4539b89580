"""What was found in a run that was looked at from end to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

KEPT_PER_KIND = 100


class Kind(StrEnum):
    """What can be found. The notes are no fault: they tell what a crash or an unfinished run explains."""

    DAMAGED = "damaged"
    DUPLICATE = "duplicate"
    OUT_OF_RANGE = "out_of_range"
    FENCED_OFF = "fenced_off"
    GAP = "gap"
    DESCRIPTION = "description"
    CHECKPOINT = "checkpoint"
    TOO_SHORT = "too_short"
    BEYOND_THE_END = "beyond_the_end"
    DIFFERENCE = "difference"
    UNFINISHED = "unfinished"
    TORN_TAIL = "torn_tail"
    NO_CHECKPOINT = "no_checkpoint"
    UNREADABLE_ATTEMPT = "unreadable_attempt"
    LEFTOVER = "leftover"

    @property
    def is_note(self) -> bool:
        """Whether a run is fine with it."""
        return self in _NOTES


_NOTES = {Kind.UNFINISHED, Kind.TORN_TAIL, Kind.NO_CHECKPOINT, Kind.UNREADABLE_ATTEMPT, Kind.LEFTOVER}


@dataclass(frozen=True)
class Finding:
    """One thing found: `where` names the file, with line and byte if there are any."""

    kind: Kind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Report:
    """What was found in one run.

    `findings` holds the first hundred of each kind; `counts` says how many there were, in lines of the log for those
    kinds that are about lines, in bytes for a torn tail. `fingerprint` is None when run.json cannot be trusted.
    """

    name: str
    records: int
    total_samples: int | None
    fingerprint: str | None
    live: bool
    has_checkpoint: bool
    findings: tuple[Finding, ...]
    counts: Mapping[Kind, int]

    @property
    def ok(self) -> bool:
        """Whether there are notes at most."""
        return all(kind.is_note for kind in self.counts)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing, and no fault."""
        return tuple(each for each in self.findings if each.kind.is_note)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is off."""
        return tuple(each for each in self.findings if not each.kind.is_note)


@dataclass
class Findings:
    """Collects them, the first of each kind in full."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    _told: Counter[Kind] = field(default_factory=Counter)

    def add(self, kind: Kind, where: str, what: str, count: int = 1) -> None:
        """Count it, and keep it unless there are many."""
        self._told[kind] += 1
        self.counts[kind] += count
        if self._told[kind] <= KEPT_PER_KIND:
            self.kept.append(Finding(kind, where, what))
