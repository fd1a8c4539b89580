"""One sample's outcome: one line of results.jsonl."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
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
        if taken := (_FIELDS | {"crc"}) & self.extra.keys():
            raise ValueError(f"extra may not hold the record's own fields: {', '.join(sorted(taken))}")
        for name in ("idx", "attempt"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(f"{name} must be an int, not {getattr(self, name)!r}")
        for name, value in (("timestamp", self.timestamp), *self.scores.items()):
            if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise ValueError(f"{name} must be a finite number, not {value!r}")
        object.__setattr__(self, "status", Status(self.status))

    def encode(self) -> bytes:
        """The line, newline included. Raises TypeError for what JSON cannot hold."""
        return seal({**{name: getattr(self, name) for name in _ORDER}, **self.extra, "attempt": self.attempt})

    @classmethod
    def decode(cls, line: bytes) -> Record:
        """Raise BadLine unless these bytes are a whole, undamaged record."""
        values = unseal(line)
        extra = {name: values.pop(name) for name in list(values) if name not in _FIELDS}
        try:
            return cls(**{**values, "status": Status(values["status"])}, extra=extra)
        except (KeyError, TypeError, ValueError) as error:
            raise BadLine(f"not a record: {error}") from None


_ORDER = (
    "idx", "sample_id", "status", "ground_truth", "model_answer", "is_correct", "scores", "timestamp",
)  # fmt: skip
_FIELDS = frozenset((*_ORDER, "attempt"))
