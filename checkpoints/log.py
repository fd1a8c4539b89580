"""results.jsonl: appended to by one writer, read by anyone at any time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from checkpoints.atomic import write_all
from checkpoints.encoding import BadLine
from checkpoints.errors import CorruptRun, StorageFailed
from checkpoints.record import Record


class LogWriter:
    """Appends whole lines. After one failure it refuses: a retried fsync can claim what is not true."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.offset_bytes = os.fstat(self._descriptor).st_size
        self._failed: OSError | None = None

    def append(self, lines: bytes) -> None:
        """Hand the lines to the kernel: from here on they survive the death of this process."""
        self._try("append to", lambda: write_all(self._descriptor, lines))
        self.offset_bytes += len(lines)

    def sync(self) -> None:
        """Make what was appended survive a power failure."""
        self._try("sync", lambda: os.fdatasync(self._descriptor))

    def close(self) -> None:
        """Close without a sync."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self, action: str, call: Callable[[], None]) -> None:
        if self._failed is not None:
            raise StorageFailed(action, self.path, self._failed)
        try:
            call()
        except OSError as error:
            self._failed = error
            raise StorageFailed(action, self.path, error) from error


@dataclass(frozen=True, slots=True)
class Entry:
    """A stretch of the log: one record, or (`record` is None) bytes that are not one."""

    start_bytes: int
    end_bytes: int
    record: Record | None
    problem: str = ""


def scan(path: Path, start_bytes: int = 0) -> Iterator[Entry]:
    """Yield the entries from an offset on, one line in memory at a time. A missing file is an empty log.

    A line without its end is the last: beside a live writer the rest of it may arrive meanwhile, and would be
    taken for a line of its own.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start_bytes)
        at = start_bytes
        for line in file:
            end = at + len(line)
            try:
                yield Entry(at, end, Record.decode(line))
            except BadLine as error:
                yield Entry(at, end, None, str(error))
                if not line.endswith(b"\n"):
                    return
            at = end


@dataclass
class Tail:
    """Where the valid records of a log end, known once `records()` is exhausted."""

    path: Path
    end_bytes: int = 0
    torn_bytes: int = 0

    def records(self) -> Iterator[Record]:
        """Yield the records from `end_bytes` on.

        Bad bytes at the very end are a torn tail, which a crash explains, and are only counted. Bad bytes
        that valid records follow are damage: CorruptRun is raised at the first record after them.
        """
        bad: Entry | None = None
        for entry in scan(self.path, self.end_bytes):
            if entry.record is None:
                bad = bad or entry
                self.torn_bytes = entry.end_bytes - bad.start_bytes
            elif bad is not None:
                raise damaged(self.path, bad.start_bytes, f"{bad.problem}, yet valid records follow")
            else:
                yield entry.record
                self.end_bytes = entry.end_bytes


def damaged(path: Path, offset_bytes: int, what: str) -> CorruptRun:
    """The error for damage at an offset; the line is counted only now that somebody has to be told."""
    line = 1
    with path.open("rb") as file:
        while offset_bytes > file.tell():
            chunk = file.read(min(1 << 20, offset_bytes - file.tell()))
            if not chunk:
                break
            line += chunk.count(b"\n")
    return CorruptRun(path, line, offset_bytes, what)
