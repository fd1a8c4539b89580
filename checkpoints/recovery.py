"""Finding out what a run holds, after a crash or beside a live writer. Reading never changes a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from checkpoints import epoch
from checkpoints.atomic import make_directory, sync_directory
from checkpoints.checkpoint import Checkpoint
from checkpoints.count import count, is_intact
from checkpoints.encoding import BadLine
from checkpoints.epoch import Fence
from checkpoints.errors import CorruptRun
from checkpoints.layout import RunLayout
from checkpoints.log import Tail, damaged, open_log
from checkpoints.progress import Progress

_COPY_BYTES = 1 << 20
_READ_AGAIN = 3


@dataclass(frozen=True)
class Recovered:
    """The totals of all valid records, and where they end in the log."""

    progress: Progress
    checkpoint: Checkpoint | None  # None when there was none to start from: the whole log was read
    end_bytes: int
    torn_bytes: int
    tail_end_time: float | None  # timestamp of the last record that the checkpoint does not know
    fenced_off: int = 0  # records of writers that had been taken over from; not counted


def read_checkpoint(layout: RunLayout) -> Checkpoint | None:
    """The checkpoint on disk; None when it is missing or damaged, since the log can replace it."""
    return _read_checkpoint(layout)[0]


def _read_checkpoint(layout: RunLayout) -> tuple[Checkpoint | None, bool]:
    """The checkpoint, and whether there is a file, damaged or not."""
    for _ in range(_READ_AGAIN):  # a live writer may be in the middle of overwriting it
        try:
            return Checkpoint.decode(layout.checkpoint.read_bytes(), layout.checkpoint), True
        except FileNotFoundError:
            return None, False
        except BadLine:
            continue
    return None, True


def replay(layout: RunLayout, run_id: str | None = None) -> Recovered:
    """Take the checkpoint's totals and add the records after it: O(tail).

    The whole log is read without a usable checkpoint of this run, and with one that promises more than the log
    keeps: it may have reached the disk before the log did when the machine died.
    Raises CorruptRun for damage that no crash explains.
    """
    checkpoint, exists = _read_checkpoint(layout)
    if checkpoint is not None and run_id not in {None, checkpoint.run_id}:
        checkpoint = None
    if checkpoint is not None and checkpoint.finished and _is_compressed(layout):
        # Compressing read all of it back, and to look at the end again would be to unpack it all.
        return Recovered(checkpoint.progress(), checkpoint, checkpoint.log_offset_bytes, 0, None)
    if checkpoint is not None and _keeps(layout.results, checkpoint):
        try:
            fence = Fence(epoch.read(layout, [checkpoint.attempt, checkpoint.attempt + 1]))
            return _replay_from(layout, checkpoint, checkpoint.progress(), fence, checkpoint.synced_bytes)
        except (CorruptRun, ValueError):
            pass  # what the totals count twice may be a fenced-off writer's: only the whole log can tell
    tail = _whole_log(layout, checkpoint, exists=exists)
    return _replay_from(layout, None, Progress(), tail.fence, tail.synced_bytes)


def whole_log(layout: RunLayout) -> Tail:
    """The log from its beginning, read by the rules of replay()."""
    checkpoint, exists = _read_checkpoint(layout)
    tail = _whole_log(layout, checkpoint, exists=exists)
    tail.whole = checkpoint is not None and _keeps(layout.results, checkpoint)  # then replay() counts on it
    return tail


def _whole_log(layout: RunLayout, checkpoint: Checkpoint | None, *, exists: bool) -> Tail:
    fence = Fence(epoch.read(layout, epoch.numbers(layout)))
    if not exists:  # nobody knows what was synced, so no damage is explained
        return Tail(layout.results, fence=fence)
    synced_bytes = max(fence.last_start_bytes, checkpoint.synced_bytes if checkpoint else 0)
    return Tail(layout.results, synced_bytes=synced_bytes, fence=fence)


def _keeps(results: Path, checkpoint: Checkpoint) -> bool:
    """Whether the log holds what the checkpoint counts, as far as it was not on the disk already."""
    end = checkpoint.log_offset_bytes
    if end == 0:
        return True
    try:
        return _is_line_start(results, end) and is_intact(results, min(checkpoint.synced_bytes, end), end)
    except FileNotFoundError:
        return False


def _replay_from(
    layout: RunLayout, checkpoint: Checkpoint | None, progress: Progress, fence: Fence, synced_bytes: int | None
) -> Recovered:
    start_bytes = checkpoint.log_offset_bytes if checkpoint else 0
    try:
        at, tail_end_time = count(layout.results, start_bytes, progress, fence)
    except FileNotFoundError:
        at, tail_end_time = start_bytes, None
    except ValueError:
        # Slowly again, to name the line.
        progress, at, tail_end_time = checkpoint.progress() if checkpoint else Progress(), start_bytes, None
    tail = Tail(layout.results, at, synced_bytes, fence)
    for record in tail.records():
        try:
            progress.add(record)
        except ValueError as error:
            raise damaged(layout.results, tail.end_bytes, str(error)) from None
        tail_end_time = record.timestamp
    return Recovered(progress, checkpoint, tail.end_bytes, tail.torn_bytes, tail_end_time, tail.fenced_off)


def _is_compressed(layout: RunLayout) -> bool:
    return layout.compressed.exists() and not layout.results.exists()


def _is_line_start(path: Path, offset_bytes: int) -> bool:
    with open_log(path) as file:
        file.seek(offset_bytes - 1)
        return file.read(1) == b"\n"


def keep_torn_tail(layout: RunLayout, recovered: Recovered, attempt: int) -> Path | None:
    """Keep the bytes after the last record aside, durably. The lock must be held."""
    if not recovered.torn_bytes:
        return None
    make_directory(layout.attempts)
    number = 0
    while (kept := layout.attempts / f"attempt-{attempt:04d}{f'.{number}' if number else ''}.torn-tail").exists():
        number += 1
    with layout.results.open("rb") as log, kept.open("wb") as aside:
        log.seek(recovered.end_bytes)
        while chunk := log.read(_COPY_BYTES):
            aside.write(chunk)
        aside.flush()
        os.fsync(aside.fileno())
    sync_directory(layout.attempts)
    return kept
