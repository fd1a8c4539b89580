"""Which samples are done: a watermark, and the ranges above it.

Batches and workers finish out of order. Kept as ranges, the set stays a few numbers long whatever the
number of samples.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence


class CompletedSet:
    """A set of sample indices, stored as sorted, disjoint, non-adjacent, inclusive ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.highest = -1  # the highest index in the set
        for start, end in ranges:
            if end < start or start < 0 or (self._ends and start <= self._ends[-1] + 1):
                raise ValueError(f"not a sorted list of disjoint ranges: {start}..{end}")
            self._starts.append(start)
            self._ends.append(end)
            self.highest = end

    def __contains__(self, idx: int) -> bool:
        at = bisect_right(self._starts, idx) - 1
        return at >= 0 and idx <= self._ends[at]

    @classmethod
    def of(cls, idxs: Iterable[int]) -> CompletedSet:
        """The set of these indices, in any order, repeated or not."""
        made = cls()
        for idx in sorted(set(idxs)):
            made.add(idx)
        return made

    def __len__(self) -> int:
        return sum(end - start + 1 for start, end in self.ranges())

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges in order, both ends included."""
        return zip(self._starts, self._ends, strict=True)

    @property
    def last_completed_idx(self) -> int:
        """The watermark: every sample up to this one is done. -1 when sample 0 is not."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else -1

    def above_watermark(self, limit: int | None = None) -> tuple[tuple[int, int], ...] | None:
        """The ranges beyond the watermark; None when there are more than the limit."""
        if limit is not None and len(self._starts) > limit:
            return None
        first = 1 if self.last_completed_idx >= 0 else 0
        return tuple(zip(self._starts[first:], self._ends[first:], strict=True))

    def extend(self, idxs: Sequence[int]) -> None:
        """add() them all, quickly when they go on where the set ends. Raises ValueError."""
        first = idxs[0]
        if first == self.highest + 1 and idxs == list(range(first, first + len(idxs))):
            if self._ends:
                self._ends[-1] = idxs[-1]
            else:
                self._starts, self._ends = [0], [idxs[-1]]
            self.highest = idxs[-1]
            return
        for idx in idxs:
            self.add(idx)

    def add(self, idx: int) -> None:
        """Raise ValueError for an index that is negative or already there."""
        if idx == self.highest + 1 and self._ends:  # in order, as nearly always
            self._ends[-1] = self.highest = idx
            return
        if idx < 0:
            raise ValueError(f"a sample's index is at least 0, not {idx}")
        at = bisect_right(self._starts, idx)  # the range before is at - 1, the range after is at
        if at and idx <= self._ends[at - 1]:
            raise ValueError(f"sample {idx} is already recorded")
        joins_before = at > 0 and self._ends[at - 1] == idx - 1
        joins_after = at < len(self._starts) and self._starts[at] == idx + 1
        if joins_before and joins_after:
            self._ends[at - 1] = self._ends.pop(at)
            self._starts.pop(at)
        elif joins_before:
            self._ends[at - 1] = idx
        elif joins_after:
            self._starts[at] = idx
        else:
            self._starts.insert(at, idx)
            self._ends.insert(at, idx)
            self.highest = max(self.highest, idx)
