"""results.jsonl: appended to by one writer, read by anyone at any time."""

from __future__ import annotations

import errno
import io
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from checkpoints.atomic import write_all
from checkpoints.encoding import BadLine
from checkpoints.epoch import Fence
from checkpoints.errors import CorruptRun, StorageFailed
from checkpoints.record import Record


class LogWriter:
    """Appends whole lines. After one failure it refuses: a retried fsync can claim what is not true."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.offset_bytes = os.fstat(self._descriptor).st_size
        self.synced_bytes = 0  # how much is known to be on the disk
        self._failed: OSError | None = None

    def append(self, lines: bytes) -> None:
        """Hand the lines to the kernel: from here on they survive the death of this process."""
        if self._failed is not None:
            raise StorageFailed("append to", self.path, self._failed)
        try:
            written = os.write(self._descriptor, lines)
            if written != len(lines):
                write_all(self._descriptor, lines[written:])
        except OSError as error:
            self._failed = error
            raise StorageFailed("append to", self.path, error) from error
        self.offset_bytes += len(lines)

    def sync(self) -> None:
        """Make what was appended survive a power failure. Another thread may append meanwhile."""
        upto = self.offset_bytes
        self._try("sync", lambda: os.fdatasync(self._descriptor))
        self.synced_bytes = max(self.synced_bytes, upto)

    def reread_honestly(self, start_bytes: int) -> None:
        """Sync, then drop the cached pages from there on: after a write error they may hold what the disk does not."""
        self.sync()
        with suppress(OSError):  # advice only
            os.posix_fadvise(self._descriptor, start_bytes, 0, os.POSIX_FADV_DONTNEED)

    def cut(self, end_bytes: int) -> None:
        """Drop everything from a byte on, durably."""
        self._try("truncate", lambda: os.ftruncate(self._descriptor, end_bytes))
        self.offset_bytes = self.synced_bytes = end_bytes
        self.sync()

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


def open_log(path: Path) -> BinaryIO:
    """The log, opened for reading; the compressed one beside it when there is no other. Raises FileNotFoundError."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        import gzip

        try:
            return cast(BinaryIO, gzip.open(path.with_name(path.name + ".gz"), "rb"))
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None


def length(file: BinaryIO) -> float:
    """How many bytes there are to read now; without end for a compressed log, to which nobody appends."""
    return os.fstat(file.fileno()).st_size if isinstance(file, io.BufferedReader) else math.inf


def scan(path: Path, start_bytes: int = 0) -> Iterator[Entry]:
    """Yield the entries from an offset on, one line in memory at a time. A missing file is an empty log.

    What a live writer appends meanwhile is left for the next time: one that is as fast would never be caught up
    with. A line without its end is the last: the rest of it may arrive, and would be taken for a line of its own.
    """
    try:
        file = open_log(path)
    except FileNotFoundError:
        return
    with file:
        size = length(file)
        file.seek(start_bytes)
        at = start_bytes
        while at < size and (line := file.readline()):
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
    """Where the valid records of a log end, known once `entries()` is exhausted.

    What lies before `synced_bytes` was on the disk once, and no crash explains its damage.
    """

    path: Path
    end_bytes: int = 0
    synced_bytes: int | None = None
    fence: Fence = field(default_factory=lambda: Fence(()))
    whole: bool = False  # whether all that was synced has to be there
    torn_bytes: int = 0
    fenced_off: int = 0

    def records(self) -> Iterator[Record]:
        """Yield the records from `end_bytes` on, those of writers that had been taken over from left out.

        Bad bytes at the very end are a torn tail, which a crash explains, and are only counted. So are bad bytes that
        valid records follow, where nothing had been synced yet: a power failure leaves such holes. Elsewhere they are
        damage: CorruptRun is raised at the first record after them.
        """
        bad: Entry | None = None
        for entry in scan(self.path, self.end_bytes):
            if entry.record is None:
                bad = bad or entry
            if bad is not None:
                hole = self.synced_bytes is not None and bad.start_bytes >= self.synced_bytes
                if entry.record is not None and not hole:
                    raise damaged(self.path, bad.start_bytes, f"{bad.problem}, yet valid records follow")
                self.torn_bytes = entry.end_bytes - bad.start_bytes
            elif entry.record is not None:
                if entry.record.attempt < self.fence.oldest_allowed(entry.start_bytes):
                    self.fenced_off += 1
                else:
                    yield entry.record
                self.end_bytes = entry.end_bytes
        if self.whole and self.end_bytes < (self.synced_bytes or 0):
            raise damaged(self.path, self.end_bytes, "records that were on the disk once are damaged or gone")


def damaged(path: Path, offset_bytes: int, what: str) -> CorruptRun:
    """The error for damage at an offset; the line is counted only now that somebody has to be told."""
    line, left = 1, offset_bytes
    with open_log(path) as file:
        while left > 0 and (chunk := file.read(min(1 << 20, left))):
            line += chunk.count(b"\n")
            left -= len(chunk)
    return CorruptRun(path, line, offset_bytes, what)
