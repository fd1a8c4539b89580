"""The store's front door: open a run, record samples, ask how it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from checkpoints.atomic import replace_file
from checkpoints.checkpoint import Checkpoint
from checkpoints.completed import CompletedSet
from checkpoints.errors import CorruptRun, Difference, RunMismatch, RunNotFound, RunNotOpen, StorageFailed
from checkpoints.identity import RunIdentity, differences, normal
from checkpoints.layout import RunLayout
from checkpoints.lock import RunLock
from checkpoints.log import LogWriter, Tail
from checkpoints.progress import Progress
from checkpoints.record import Record
from checkpoints.recovery import Recovered, cut_torn_tail, replay
from checkpoints.statistics import Statistics, describe

GROUP_RECORDS = 64
GROUP_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Clock:
    """Where the time comes from: seconds since the epoch, and seconds that never jump."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass
class _Writer:
    """What only the holder of the lock has."""

    log: LogWriter
    progress: Progress
    checkpoint: Checkpoint
    opened_s: float
    committed_s: float
    elapsed_before_s: float
    was_finished: bool  # opened only to be looked at: neither an attempt nor time at work
    pending: int = 0
    in_step: bool = True  # False while the log may hold records that the totals do not count


class CheckpointManager:
    """One run on disk: `<checkpoint_dir>/<run_name>/`.

    Looking needs no lock and works beside a live writer:

        >>> from checkpoints import CheckpointManager
        >>> CheckpointManager("./checkpoints", "no-such-run").load_checkpoint() is None
        True

    Writing needs the run's lock, taken by `open()` and held until `close()`:

        >>> import tempfile
        >>> from checkpoints import Record
        >>> with CheckpointManager(tempfile.mkdtemp(), "demo").open(total_samples=2) as run:
        ...     run.record(Record(idx=0, is_correct=True))
        ...     run.get_statistics()["accuracy"]
        1.0

    A record is handed to the kernel before `record()` returns: the death of the process cannot lose it. The log
    is synced and the checkpoint replaced once per 64 records or second, on `commit()` and on `close()`: that
    window is what a power failure can lose.

    Raises ValueError for a run name that is not a plain folder name.
    """

    def __init__(
        self, checkpoint_dir: str | Path = "./checkpoints", run_name: str = "default", *, clock: Clock | None = None
    ) -> None:
        self.layout = RunLayout.of(checkpoint_dir, run_name)
        self._clock = clock or Clock()
        self._lock = RunLock(self.layout.lock)
        self._writer: _Writer | None = None

    # Looking

    def load_checkpoint(self) -> Checkpoint | None:
        """The run as it stands, records after the last checkpoint included; None when there is no run.

        Raises CorruptRun or UnsupportedFormat for files that cannot be trusted.
        """
        if self._writer is not None:
            return self._advanced(self._writer)
        try:
            identity = RunIdentity.read(self.layout.run)
        except FileNotFoundError:
            return None
        return _current(identity, replay(self.layout, identity.run_id))

    def get_statistics(self) -> Statistics:
        """What the run amounts to so far. Raises RunNotFound when there is none, and as load_checkpoint()."""
        checkpoint = self.load_checkpoint()
        if checkpoint is None:
            raise RunNotFound(self.layout.root)
        return describe(checkpoint)

    def records(self) -> Iterator[Record]:
        """Every record, in the order in which it was written, one in memory at a time."""
        return Tail(self.layout.results).records()

    # Writing

    def open(
        self,
        *,
        total_samples: int | None = None,
        identity: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """Take the lock, and start the run or resume it.

        `identity` is everything that changes a result; when given, it must be what the run was started with.
        `provenance` (versions, hardware) is kept for the reader when the run starts, and not compared.
        Raises RunLocked, RunMismatch, CorruptRun, UnsupportedFormat or StorageFailed; the run is then untouched.
        """
        if self._writer is not None:
            raise RunNotOpen(f"{self.layout.root} is open already")
        try:
            self.layout.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed("create", self.layout.root, error) from error
        self._lock.acquire()
        try:
            self._writer = self._begin(total_samples, identity, provenance or {})
        except OSError as error:
            self._lock.release()
            raise StorageFailed("open", self.layout.root, error) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def record(self, *records: Record) -> None:
        """Append the records in one write, stamped with the time and this attempt's number.

        Raises RunNotOpen; ValueError for a sample that is recorded already or out of range, TypeError for a value
        that JSON cannot hold, and then nothing is written; StorageFailed when the file system refuses.
        """
        writer = self._open_writer()
        seen = CompletedSet()
        for each in records:
            total = writer.checkpoint.total_samples
            if each.idx in writer.progress.completed or each.idx in seen:
                raise ValueError(f"sample {each.idx} is already recorded")
            if total is not None and each.idx >= total:
                raise ValueError(f"sample {each.idx} is beyond the run's {total} samples")
            seen.add(each.idx)
        now = self._clock.wall()
        stamped = [replace(each, timestamp=each.timestamp or now, attempt=writer.progress.attempt) for each in records]
        lines = b"".join([each.encode() for each in stamped])
        # An interrupt (Ctrl-C) may strike between the log and the totals. A checkpoint written then would point
        # past records that it does not count.
        writer.in_step = False
        try:
            writer.log.append(lines)
        except StorageFailed:
            writer.in_step = True
            raise
        for each in stamped:
            writer.progress.add(each)
        writer.in_step = True
        writer.pending += len(stamped)
        since_commit_s = self._clock.monotonic() - writer.committed_s
        if writer.pending >= GROUP_RECORDS or since_commit_s >= GROUP_INTERVAL_S:
            self.commit()

    def commit(self) -> None:
        """Make everything recorded so far survive a power failure, then bring checkpoint.json up to date."""
        writer = self._open_writer()
        writer.log.sync()
        writer.checkpoint = self._advanced(writer)
        try:
            replace_file(self.layout.checkpoint, writer.checkpoint.encode())
        except OSError as error:
            raise StorageFailed("replace", self.layout.checkpoint, error) from error
        writer.pending = 0
        writer.committed_s = self._clock.monotonic()

    def close(self) -> None:
        """Commit and give the lock back. Harmless when nothing is open."""
        if self._writer is None:
            return
        try:
            if self._lock.held and self._writer.in_step:
                self.commit()
        finally:
            self._writer.log.close()
            self._writer = None
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After the storage failed, one more failing commit would only hide the first error.
        if isinstance(error, StorageFailed) and self._writer is not None:
            self._writer.log.close()
            self._writer = None
            self._lock.release()
        self.close()

    def is_completed(self, idx: int) -> bool:
        """Whether the sample has its record. Raises RunNotOpen."""
        return idx in self._open_writer().progress.completed

    @property
    def attempt(self) -> int:
        """How often the run has been opened with work left to do, this time included. Raises RunNotOpen."""
        return self._open_writer().progress.attempt

    # Inside

    def _open_writer(self) -> _Writer:
        if self._writer is None or not self._lock.held:
            raise RunNotOpen(f"{self.layout.root} is not open for writing: call open() first, in this process")
        if not self._writer.in_step:
            raise RunNotOpen(f"a record() of {self.layout.root} was interrupted: close it, and open it again")
        return self._writer

    def _begin(
        self, total_samples: int | None, identity: Mapping[str, Any] | None, provenance: Mapping[str, Any]
    ) -> _Writer:
        described = self._describe(total_samples, identity, provenance)
        log = LogWriter(self.layout.results)
        try:
            # What a reader finds in the page cache may not be on the disk: sync first, so that what recovery
            # believes is what a power failure would leave.
            log.sync()
            recovered = replay(self.layout, described.run_id)
            finished = _current(described, recovered).finished
            if not finished:
                recovered.progress.attempt += 1
            cut_torn_tail(self.layout, recovered, recovered.progress.attempt)
            log.offset_bytes = recovered.end_bytes
            checkpoint = _current(described, recovered)
            now_s = self._clock.monotonic()
            writer = _Writer(log, recovered.progress, checkpoint, now_s, now_s, checkpoint.elapsed_s, finished)
            writer.checkpoint = self._advanced(writer)
            # The attempt's number is on disk before the first record carries it.
            replace_file(self.layout.checkpoint, writer.checkpoint.encode())
        except BaseException:
            log.close()
            raise
        return writer

    def _describe(
        self, total_samples: int | None, identity: Mapping[str, Any] | None, provenance: Mapping[str, Any]
    ) -> RunIdentity:
        try:
            stored = RunIdentity.read(self.layout.run)
        except FileNotFoundError:
            if self.layout.results.exists() and self.layout.results.stat().st_size:
                raise CorruptRun(
                    self.layout.results, 1, 0, "there are results, but no run.json that says whose they are"
                ) from None
            fresh = RunIdentity.new(identity or {}, provenance, total_samples, self._clock.wall())
            replace_file(self.layout.run, fresh.encode())
            return fresh
        found = list(differences(stored.identity, normal(identity))) if identity is not None else []
        if total_samples is not None and stored.total_samples != total_samples:
            found.append(Difference("total_samples", stored.total_samples, total_samples))
        if found:
            raise RunMismatch(self.layout.root, found)
        return stored

    def _advanced(self, writer: _Writer) -> Checkpoint:
        if writer.was_finished:
            return writer.checkpoint
        elapsed_s = writer.elapsed_before_s + self._clock.monotonic() - writer.opened_s
        return writer.checkpoint.advanced(writer.progress, self._clock.wall(), elapsed_s, writer.log.offset_bytes)


def _current(identity: RunIdentity, recovered: Recovered) -> Checkpoint:
    """The checkpoint as it would be had it been written after the last record.

    The records after a checkpoint were written by the same attempt, since each attempt starts with one, so the
    time between them was spent working. Without a checkpoint the whole life of the run counts as work.
    """
    base = recovered.checkpoint or Checkpoint(
        identity.run_id, identity.total_samples, identity.created, identity.created
    )
    last_time = max(base.last_update_time, recovered.tail_end_time or 0.0)
    elapsed_s = base.elapsed_s + last_time - base.last_update_time
    return base.advanced(recovered.progress, last_time, elapsed_s, recovered.end_bytes)
