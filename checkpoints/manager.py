"""The store's front door: open a run, record samples, ask how it stands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from checkpoints import epoch, retention
from checkpoints.atomic import make_directory, replace_file, sync_directory
from checkpoints.checkpoint import Checkpoint
from checkpoints.completed import CompletedSet
from checkpoints.durability import Durability
from checkpoints.epoch import Epoch, Fence
from checkpoints.errors import CorruptRun, Difference, RunMismatch, RunNotFound, RunNotOpen, StorageFailed
from checkpoints.identity import RunIdentity, differences, normal
from checkpoints.layout import RunLayout
from checkpoints.lock import RunLock
from checkpoints.log import LogWriter
from checkpoints.record import Record
from checkpoints.recovery import Recovered, keep_torn_tail, read_checkpoint, replay, whole_log
from checkpoints.retention import Retention
from checkpoints.statistics import Statistics, describe
from checkpoints.writer import Clock, RunWriter


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

    A record is handed to the kernel before `record()` returns: the death of the process cannot lose it. What a
    power failure can lose is said by `durability`. Threads may share an open manager; a forked child may not.

    Raises ValueError for a run name that is not a plain folder name.
    """

    def __init__(
        self,
        checkpoint_dir: str | Path = "./checkpoints",
        run_name: str = "default",
        *,
        durability: Durability | None = None,
        retention: Retention | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.layout = RunLayout.of(checkpoint_dir, run_name)
        self.durability = durability or Durability.group()
        self.retention = retention or Retention()
        self._clock = clock or Clock()
        self._lock = RunLock(self.layout.lock)
        self._writer: RunWriter | None = None
        self._finished: Checkpoint | None = None  # of a run that was complete when it was opened

    @classmethod
    def resume_from(cls, path: str | Path, *, durability: Durability | None = None) -> Self:
        """The manager of an existing run, by its folder or its checkpoint.json. Raises RunNotFound."""
        root = Path(path).resolve()
        if root.name == "checkpoint.json":
            root = root.parent
        if not RunLayout(root).run.is_file():
            raise RunNotFound(Path(path))
        return cls(root.parent, root.name, durability=durability)

    # Looking

    def load_checkpoint(self) -> Checkpoint | None:
        """The run as it stands, records after the last checkpoint included; None when there is no run.

        Raises CorruptRun or UnsupportedFormat for files that cannot be trusted, StorageFailed for those that cannot
        be read.
        """
        if self._writer is not None and self._lock.held:  # a forked child has neither the lock nor the mutex
            return self._writer.checkpoint()
        if self._finished is not None:
            return self._finished
        try:
            identity = RunIdentity.read(self.layout.run)
            return _current(identity, replay(self.layout, identity.run_id))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed("read", self.layout.root, error) from error

    def get_statistics(self) -> Statistics:
        """What the run amounts to so far. Raises RunNotFound when there is none, and as load_checkpoint()."""
        checkpoint = self.load_checkpoint()
        if checkpoint is None:
            raise RunNotFound(self.layout.root)
        return describe(checkpoint)

    def records(self) -> Iterator[Record]:
        """Every record, in the order in which it was written, one in memory at a time. Raises CorruptRun."""
        return whole_log(self.layout).records()

    # Writing

    def open(
        self,
        *,
        total_samples: int | None = None,
        identity: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        restart: bool = False,
    ) -> Self:
        """Take the lock, and start the run or resume it.

        `identity` is everything that changes a result; when given, it must be what the run was started with.
        `provenance` (versions, hardware) is kept for the reader when the run starts, and not compared. `restart`
        starts over: what is there is kept under another name, `<run>.replaced-<time>`.
        Raises RunLocked, RunMismatch, CorruptRun, UnsupportedFormat or StorageFailed; the run is then untouched.
        """
        if self._lock.held:
            raise RunNotOpen(f"{self.layout.root} is open already")
        self._take_lock()
        try:
            if restart and self.layout.run.exists():
                self._set_aside()
            described = self._describe(total_samples, identity, provenance or {})
            self._begin(described)
        except OSError as error:
            self._lock.release()
            raise StorageFailed("open", self.layout.root, error) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def begin(self, idxs: Iterable[int]) -> None:
        """Say which samples are worked on from now on, before they can do harm.

        They are in checkpoint.json at once. If the process dies before they are recorded, the next attempt finds
        them in `crash_counts`. Raises RunNotOpen, RunFenced, StorageFailed.
        """
        self._open_writer().begin(idxs)

    def record(self, *records: Record) -> None:
        """Append the records in one write, stamped with the time and this attempt's number.

        Raises RunNotOpen; ValueError for a sample that is recorded already or out of range, TypeError for a value
        that JSON cannot hold, and then nothing is written; StorageFailed when the file system refuses: what was
        handed over now may be kept or not, and nothing is taken any more until the run is opened again.
        """
        writer = self._writer
        if writer is None or not self._lock.held:
            if not records and self._finished is not None:
                return
            writer = self._open_writer()
        writer.record(records)

    def commit(self) -> None:
        """Make everything recorded so far survive a power failure, then bring checkpoint.json up to date."""
        self._open_writer().commit()

    def close(self) -> None:
        """Commit and give the lock back. Harmless when nothing is open."""
        writer, self._writer, self._finished = self._writer, None, None
        if not self._lock.held:
            return
        try:
            if writer is not None:
                writer.close()
            retention.apply(self.layout, self.retention)
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After the storage failed, one more failing commit would only hide the first error.
        if isinstance(error, StorageFailed) and self._writer is not None:
            self._writer.abandon()
            self._writer = None
            self._lock.release()
        self.close()

    def is_completed(self, idx: int) -> bool:
        """Whether the sample has its record. Raises RunNotOpen."""
        if self._finished is not None and self._lock.held:
            return 0 <= idx < self._finished.samples_processed
        return self._open_writer().is_completed(idx)

    @property
    def attempt(self) -> int:
        """How often the run has been opened with work left to do, this time included. Raises RunNotOpen."""
        if self._finished is not None and self._lock.held:
            return self._finished.attempt
        return self._open_writer().progress.attempt

    @property
    def crash_counts(self) -> Mapping[int, int]:
        """How often each sample that has no record yet was in flight when an attempt died. Raises RunNotOpen."""
        return {} if self._finished is not None else dict(self._open_writer().crash_counts)

    # Inside

    def _open_writer(self) -> RunWriter:
        if self._writer is not None and self._lock.held:
            return self._writer
        if self._finished is not None and self._lock.held:
            raise ValueError(f"{self.layout.root} is complete: every sample is already recorded")
        raise RunNotOpen(f"{self.layout.root} is not open for writing: call open() first, in this process")

    def _take_lock(self) -> None:
        try:
            make_directory(self.layout.root)
        except OSError as error:
            raise StorageFailed("create", self.layout.root, error) from error
        self._lock.acquire()

    def _set_aside(self) -> None:
        """Give the old run another name, then take the lock of the new one."""
        root = self.layout.root
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.wall()))
        aside, number = root.with_name(f"{root.name}.replaced-{now}"), 1
        while aside.exists():
            number += 1
            aside = root.with_name(f"{root.name}.replaced-{now}-{number}")
        root.rename(aside)
        sync_directory(root.parent)
        self._lock.release()
        self._take_lock()

    def _begin(self, described: RunIdentity) -> None:
        if self.layout.compressed.exists() and not self.layout.results.exists():
            finished = _current(described, replay(self.layout, described.run_id))
            if finished.finished:
                self._finished = finished
                return
            raise CorruptRun(self.layout.compressed, 1, 0, "the results are compressed, but the run is not complete")
        log = LogWriter(self.layout.results)
        try:
            # What a reader finds in the page cache may not be on the disk: sync first, so that what recovery
            # believes is what a power failure would leave.
            log.reread_honestly(_known_bytes(self.layout))
            recovered = replay(self.layout, described.run_id)
            attempt = max(recovered.progress.attempt, *epoch.numbers(self.layout), 0) + 1
            keep_torn_tail(self.layout, recovered, attempt)
            if recovered.torn_bytes:
                log.cut(recovered.end_bytes)
            log.synced_bytes = log.offset_bytes
            base = _current(described, recovered)
            if base.finished:
                self._look_only(log, base)
                return
            # The attempt's number is on disk before the first record carries it.
            epoch.claim(self.layout, Epoch(attempt, log.offset_bytes), self._clock.wall())
            recovered.progress.attempt = attempt
            base = replace(base, in_flight=(), crash_counts=_crash_counts(base, recovered.progress.completed))
            self._writer = RunWriter(
                log, recovered.progress, base, layout=self.layout, durability=self.durability, clock=self._clock
            )
        except BaseException:
            log.close()
            raise

    def _look_only(self, log: LogWriter, base: Checkpoint) -> None:
        """A complete run is neither an attempt nor time at work; nothing is written but a checkpoint that lags."""
        log.close()
        on_disk = read_checkpoint(self.layout)
        if on_disk is None or on_disk.log_offset_bytes != base.log_offset_bytes or on_disk.run_id != base.run_id:
            replace_file(self.layout.checkpoint, base.encode())
        self._finished = base

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
    end_bytes = recovered.end_bytes
    return base.advanced(
        recovered.progress, last_time, elapsed_s, end_bytes, synced_bytes=min(base.synced_bytes, end_bytes)
    )


def _known_bytes(layout: RunLayout) -> int:
    """How much of the log was certainly on the disk when it was written last."""
    checkpoint = read_checkpoint(layout)
    return (
        Fence(epoch.read(layout, epoch.numbers(layout)[-1:])).last_start_bytes
        if checkpoint is None
        else min(checkpoint.synced_bytes, checkpoint.log_offset_bytes)
    )


def _crash_counts(base: Checkpoint, completed: CompletedSet) -> dict[int, int]:
    """How often each sample was there when an attempt died, this last time included."""
    counts = {idx: count for idx, count in base.crash_counts.items() if idx not in completed}
    for start, end in base.in_flight:
        for idx in range(start, end + 1):
            if idx not in completed:
                counts[idx] = counts.get(idx, 0) + 1
    return counts
