"""Does a checkpoint say what the log says? And the arithmetic of ranges of samples that answering takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from checkpoints.checkpoint import Checkpoint
from checkpoints.progress import Progress

Range = tuple[int, int]  # both ends included
_RANGES_TOLD = 10


def disagreements(checkpoint: Checkpoint, progress: Progress) -> Iterator[str]:
    """Name each number of the checkpoint that is not what the records up to its offset amount to."""
    expected: dict[str, Any] = {
        "last_completed_idx": progress.completed.last_completed_idx,
        "completed_above": progress.completed.above_watermark(),
        "samples_processed": progress.samples_processed,
        "correct_count": progress.correct_count,
        "accuracy": progress.accuracy,
        "status_counts": dict(progress.status_counts),
        "score_sums": dict(progress.score_sums),
    }
    if checkpoint.completed_above is None:  # there were too many to be written down
        del expected["completed_above"]
    for name, value in expected.items():
        if not same(getattr(checkpoint, name), value):
            yield f"{name} is {_short(getattr(checkpoint, name))}, by the log {_short(value)}"
    if checkpoint.attempt < progress.attempt:
        yield f"attempt is {checkpoint.attempt}, and attempt {progress.attempt} has written records"
    if checkpoint.synced_bytes > checkpoint.log_offset_bytes:
        yield f"synced_bytes is {checkpoint.synced_bytes}, beyond the {checkpoint.log_offset_bytes} that were written"
    if overlap(checkpoint.in_flight, completed_ranges(checkpoint)):
        yield f"in_flight is {format_ranges(checkpoint.in_flight)}, and some of them are completed"


def same(one: Any, other: Any) -> bool:
    """Equal, sums of floats up to their last digits."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    return bool(one == other)


def completed_ranges(checkpoint: Checkpoint) -> list[Range]:
    """The samples that a checkpoint calls completed."""
    watermark = [(0, checkpoint.last_completed_idx)] if checkpoint.last_completed_idx >= 0 else []
    return [*watermark, *(checkpoint.completed_above or ())]


def subtract(ranges: Iterable[Range], taken: Iterable[Range]) -> Iterator[Range]:
    """What is left of sorted, disjoint ranges without others of that kind.

    >>> list(subtract([(0, 9), (20, 29)], [(0, 2), (5, 5), (8, 21)]))
    [(3, 4), (6, 7), (22, 29)]
    """
    rest = iter(taken)
    hole = next(rest, None)
    for start, end in ranges:
        at = start
        while hole is not None and hole[0] <= end:
            if hole[0] > at:
                yield at, hole[0] - 1
            at = max(at, hole[1] + 1)
            if hole[1] > end:
                break
            hole = next(rest, None)
        if at <= end:
            yield at, end


def overlap(some: Iterable[Range], others: Iterable[Range]) -> bool:
    """Whether any sample is in both."""
    others = list(others)
    return any(start <= last and first <= end for start, end in some for first, last in others)


def format_ranges(ranges: Iterable[Range]) -> str:
    """The first ranges, and how many more there are.

    >>> format_ranges([(3, 3), (7, 9)])
    '3, 7-9'
    """
    texts = [str(start) if start == end else f"{start}-{end}" for start, end in ranges]
    more = len(texts) - _RANGES_TOLD
    return ", ".join(texts[:_RANGES_TOLD]) + (f" and {more} more ranges" if more > 0 else "")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
