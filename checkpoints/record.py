"""One sample's outcome: one line of results.jsonl."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from checkpoints.encoding import BadLine, seal, unseal


class Status(StrEnum):
    """How the processing of a sample ended."""

    SUCCESS = "success"
    ERROR_GENERATION = "error_generation"  # the sample raised an exception
    ERROR_CRASH = "error_crash"  # the sample killed the process, and was quarantined
    ERROR_TIMEOUT = "error_timeout"


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one sample.

    `timestamp` (seconds since the epoch) and `attempt` (1-based) are stamped by the manager that writes the
    record. `scores` are numbers that are summed over the run, one per metric; `extra` is anything else that
    can be written as JSON, and comes back as it was (NaN and the infinities come back as None).

    Raises ValueError or TypeError for what could not be read back and counted, before anything is written.
    """

    idx: int
    sample_id: str = ""
    status: Status = Status.SUCCESS
    ground_truth: Any = None
    model_answer: Any = None
    is_correct: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    timestamp: float = 0.0
    attempt: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.extra and not _RESERVED.isdisjoint(self.extra):
            taken = sorted(_RESERVED & self.extra.keys())
            raise ValueError(f"extra may not hold the record's own fields: {', '.join(taken)}")
        if not (isinstance(self.idx, int) and isinstance(self.attempt, int)):
            raise TypeError(f"idx and attempt must be int, not {self.idx!r} and {self.attempt!r}")
        _check_number("timestamp", self.timestamp)
        for name, value in self.scores.items():
            _check_number(name, value)
        if type(self.status) is not Status:
            object.__setattr__(self, "status", Status(self.status))

    def encode(self, timestamp: float | None = None, attempt: int | None = None) -> bytes:
        """The line, newline included, stamped if so wished. Raises TypeError for what JSON cannot hold."""
        # Spelled out, since this is where most of the time of recording goes.
        return seal(
            {
                "idx": self.idx,
                "sample_id": self.sample_id,
                "status": self.status._value_,
                "ground_truth": self.ground_truth,
                "model_answer": self.model_answer,
                "is_correct": self.is_correct,
                "scores": self.scores,
                "timestamp": self.timestamp or timestamp or 0.0,
                **self.extra,
                "attempt": self.attempt if attempt is None else attempt,
            }
        )

    @classmethod
    def decode(cls, line: bytes) -> Record:
        """Raise BadLine unless these bytes are a whole, undamaged record."""
        values = unseal(line)
        extra = {name: values.pop(name) for name in list(values) if name not in _FIELDS}
        try:
            return cls(**{**values, "status": Status(values["status"])}, extra=extra)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadLine(f"not a record: {error}") from None


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError(f"{name} must be a finite number, not {value!r}")


_FIELDS = frozenset({each.name for each in fields(Record)} - {"extra"})
_RESERVED = _FIELDS | {"crc"}
