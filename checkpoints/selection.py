"""Picking records out of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from checkpoints.record import Record, Status


@dataclass(frozen=True)
class Selection:
    """Which records are wanted: those that pass everything that is set; all of them when nothing is.

    `wrong` are scored and not correct, `errors` have no score. At most `limit` of them.
    """

    idx: int | None = None
    sample_id: str | None = None
    status: Status | None = None
    wrong: bool = False
    errors: bool = False
    limit: int | None = None

    @property
    def criteria(self) -> int:
        """How many criteria are set; the limit is none."""
        return sum([self.idx is not None, self.sample_id is not None, self.status is not None, self.wrong, self.errors])

    @property
    def is_single(self) -> bool:
        """Whether one certain sample is asked for, which then should be there."""
        return self.idx is not None or self.sample_id is not None

    def matches(self, record: Record) -> bool:
        """Whether the record is wanted."""
        return (
            (self.idx is None or record.idx == self.idx)
            and (self.sample_id is None or record.sample_id == self.sample_id)
            and (self.status is None or record.status is self.status)
            and not (self.wrong and (record.is_correct or record.status is not Status.SUCCESS))
            and not (self.errors and record.status is Status.SUCCESS)
        )

    def pick(self, records: Iterable[Record]) -> Iterator[Record]:
        """The wanted ones, lazily: reading ends with the last that can be wanted."""
        limit = 1 if self.idx is not None else self.limit
        return islice(filter(self.matches, records), limit)
