"""What is to become of each line of a log: the same judgement for those who look and those who repair."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from checkpoints import epoch
from checkpoints.epoch import Fence
from checkpoints.layout import RunLayout
from checkpoints.log import Entry, scan
from checkpoints.progress import Progress


class Fate(StrEnum):
    """Whether a line counts, and if not, why."""

    KEPT = "kept"
    BAD = "bad"  # these bytes are not a record
    FENCED_OFF = "fenced_off"
    OUT_OF_RANGE = "out_of_range"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A line of the log, counted from 1. `unreadable`: from here on the compressed file cannot be unpacked."""

    line: int
    entry: Entry
    fate: Fate
    what: str = ""
    unreadable: bool = False


def verdicts(layout: RunLayout, total_samples: int | None, progress: Progress) -> Iterator[Verdict]:
    """Judge line after line, one in memory at a time, and count those that are kept. Raises OSError."""
    fence = Fence(epoch.read(layout, epoch.numbers(layout)))
    at = 0
    for line, entry in enumerate(_readable(layout), 1):
        if isinstance(entry, str):
            yield Verdict(line, Entry(at, at, None, entry), Fate.BAD, entry, unreadable=True)
            return
        at = entry.end_bytes
        fate, what = judge(entry, total_samples, progress, fence)
        if fate is Fate.KEPT and entry.record is not None:
            progress.add(entry.record)
        yield Verdict(line, entry, fate, what)


def judge(entry: Entry, total_samples: int | None, progress: Progress, fence: Fence) -> tuple[Fate, str]:
    """The fate of a line, given what was kept before it, and the reason."""
    record = entry.record
    if record is None:
        return Fate.BAD, entry.problem
    oldest = fence.oldest_allowed(entry.start_bytes)
    if record.attempt < oldest:
        return Fate.FENCED_OFF, f"sample {record.idx} by attempt {record.attempt}, after attempt {oldest} had begun"
    if record.idx < 0 or (total_samples is not None and record.idx >= total_samples):
        return Fate.OUT_OF_RANGE, f"sample {record.idx} is not one of the run's {total_samples or 'own'} samples"
    if record.idx in progress.completed:
        return Fate.DUPLICATE, f"sample {record.idx} is already recorded"
    return Fate.KEPT, ""


def _readable(layout: RunLayout) -> Iterator[Entry | str]:
    """The entries, and the reason last when a compressed log ends early."""
    from gzip import BadGzipFile

    try:
        yield from scan(layout.results)
    except (BadGzipFile, EOFError, zlib.error) as error:
        yield f"it cannot be unpacked any further: {error}"
