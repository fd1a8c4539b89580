"""Counting a log at the speed of its checksums: millions of records, a few megabytes of memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import msgspec

from checkpoints.encoding import intact
from checkpoints.epoch import Fence
from checkpoints.log import length, open_log
from checkpoints.progress import Progress
from checkpoints.record import Status

_CHUNK_BYTES = 1 << 17  # small enough to stay in the processor's cache


class Row(msgspec.Struct, gc=False):
    """What the totals need of a record; the rest of the line is skipped, not decoded."""

    idx: int
    status: Status
    is_correct: bool
    scores: dict[str, float]
    timestamp: float
    attempt: int


_DECODER = msgspec.json.Decoder(Row)


def count(path: Path, start_bytes: int, progress: Progress, fence: Fence) -> tuple[int, float | None]:
    """Add the records from an offset on to the totals, as far as they are beyond doubt.

    Returns where that ends, in bytes, and the last record's timestamp: at the first chunk that holds anything but
    valid records of attempts that may write there. What follows is for the reader that looks at every line.
    Raises ValueError for a sample that was counted already, FileNotFoundError.
    """
    at, timestamp = start_bytes, None
    with open_log(path) as file:
        for chunk in _whole_lines(file, start_bytes):
            rows = _rows(chunk)
            if not rows or not _allowed(rows, chunk, at, fence):
                break
            progress.extend(rows)
            at, timestamp = at + len(chunk), rows[-1].timestamp
    return at, timestamp


def is_intact(path: Path, start_bytes: int, end_bytes: int) -> bool:
    """Whether every line in this stretch of the log carries the checksum of its bytes."""
    left = end_bytes - start_bytes
    with open_log(path) as file:
        for chunk in _whole_lines(file, start_bytes):
            part = chunk[:left]
            lines = part.split(b"\n")
            if lines.pop() or not intact(lines):
                return False
            left -= len(part)
            if not left:
                return True
    return left == 0


def _rows(chunk: bytes) -> list[Row]:
    """The rows of a chunk of lines; none if any of it is not a valid record."""
    lines = chunk[:-1].split(b"\n")
    try:
        rows = _DECODER.decode_lines(chunk)
    except (msgspec.DecodeError, ValueError):  # also what is valid, but not of these types
        return []
    return rows if len(rows) == len(lines) and intact(lines) else []


def _allowed(rows: list[Row], chunk: bytes, start_bytes: int, fence: Fence) -> bool:
    """Whether all these attempts may write here."""
    strictest = fence.oldest_allowed(start_bytes + len(chunk) - 1)
    if min([row.attempt for row in rows]) >= strictest:
        return True
    lengths = [len(line) + 1 for line in chunk.split(b"\n")]
    starts = accumulate(lengths[:-1], initial=start_bytes)
    return all(row.attempt >= fence.oldest_allowed(start) for row, start in zip(rows, starts, strict=False))


def _whole_lines(file: BinaryIO, start_bytes: int) -> Iterator[bytes]:
    """The file from an offset on in chunks of whole lines; an unfinished last line is left out."""
    size, at = length(file), start_bytes  # what a live writer appends meanwhile is left for the next time
    file.seek(start_bytes)
    rest = b""
    while at < size and (data := file.read(_CHUNK_BYTES)):
        at += len(data)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield rest + data[:cut]
            rest = data[cut:]
        else:
            rest += data
