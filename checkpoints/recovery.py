"""Finding out what a run holds, after a crash or beside a live writer. Reading never changes a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from checkpoints.atomic import sync_directory
from checkpoints.checkpoint import Checkpoint
from checkpoints.encoding import BadLine
from checkpoints.layout import RunLayout
from checkpoints.log import Tail, damaged
from checkpoints.progress import Progress

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Recovered:
    """The totals of all valid records, and where they end in the log."""

    progress: Progress
    checkpoint: Checkpoint | None
    end_bytes: int
    torn_bytes: int
    tail_end_time: float | None  # timestamp of the last record that the checkpoint does not know


def read_checkpoint(layout: RunLayout) -> Checkpoint | None:
    """The checkpoint on disk; None when it is missing or damaged, since the log can replace it."""
    try:
        return Checkpoint.decode(layout.checkpoint.read_bytes(), layout.checkpoint)
    except (FileNotFoundError, BadLine):
        return None


def replay(layout: RunLayout, run_id: str | None = None) -> Recovered:
    """Take the checkpoint's totals and add the records after it: O(tail).

    Without a usable checkpoint of this run, or with one that points past the log's end (the machine died before the
    log reached the disk), the whole log is read. Raises CorruptRun for damage that no crash explains.
    """
    checkpoint = read_checkpoint(layout)
    if checkpoint is not None and (
        run_id not in {None, checkpoint.run_id} or not _is_line_start(layout.results, checkpoint.log_offset_bytes)
    ):
        checkpoint = None
    progress = checkpoint.progress() if checkpoint else Progress()
    tail = Tail(layout.results, end_bytes=checkpoint.log_offset_bytes if checkpoint else 0)
    tail_end_time = None
    for record in tail.records():
        try:
            progress.add(record)
        except ValueError as error:
            raise damaged(layout.results, tail.end_bytes, str(error)) from None
        tail_end_time = record.timestamp
    return Recovered(progress, checkpoint, tail.end_bytes, tail.torn_bytes, tail_end_time)


def _is_line_start(path: Path, offset_bytes: int) -> bool:
    if offset_bytes == 0:
        return True
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes - 1)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return False


def cut_torn_tail(layout: RunLayout, recovered: Recovered, attempt: int) -> Path | None:
    """Keep the bytes after the last record aside, then cut them off, durably. The lock must be held."""
    if not recovered.torn_bytes:
        return None
    layout.attempts.mkdir(exist_ok=True)
    kept = layout.attempts / f"attempt-{attempt:04d}.torn-tail"
    with layout.results.open("r+b") as log, kept.open("wb") as aside:
        log.seek(recovered.end_bytes)
        while chunk := log.read(_COPY_BYTES):
            aside.write(chunk)
        aside.flush()
        os.fsync(aside.fileno())
        log.truncate(recovered.end_bytes)
        os.fsync(log.fileno())
    sync_directory(layout.attempts)
    return kept
