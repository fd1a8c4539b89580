"""The one who writes a run: appends records, syncs them in time, keeps checkpoint.json current."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from checkpoints.checkpoint import MAX_RANGES, Checkpoint, Ranges, pad
from checkpoints.checkpoint_file import CheckpointFile
from checkpoints.completed import CompletedSet
from checkpoints.durability import Durability
from checkpoints.epoch import Watch
from checkpoints.errors import CheckpointError, RunNotOpen
from checkpoints.keeper import CATCH_UP_S, Keeper
from checkpoints.layout import RunLayout
from checkpoints.log import LogWriter
from checkpoints.progress import Progress
from checkpoints.record import Record

REPLACE_INTERVAL_S = 30.0  # after a power failure at most so much of the log is counted again
_RUSH_GAP_S = 15e-6  # records that follow each other this fast are told of together: nobody can look in between
_RUSH_TOLD_S = 1e-3
_UNCHECKED_BYTES = 8 << 20  # after a kill so much is checked before it is believed: 10 to 20 ms


@dataclass(frozen=True)
class Clock:
    """Where the time comes from: seconds since the epoch, and seconds that never jump."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class RunWriter:
    """What only the holder of the lock has, who gives the lock back after `close()`. Threads may share it."""

    def __init__(
        self,
        log: LogWriter,
        progress: Progress,
        checkpoint: Checkpoint,
        *,
        layout: RunLayout,
        durability: Durability,
        clock: Clock,
    ) -> None:
        self.layout, self.log, self.progress, self.base = layout, log, progress, checkpoint
        self.in_flight: set[int] = set()
        self.crash_counts = dict(checkpoint.crash_counts)
        self._values = checkpoint.values()
        self._file = CheckpointFile(layout.checkpoint)
        self._durability, self._clock = durability, clock
        self._wall, self._monotonic = clock.wall, clock.monotonic  # asked for every record
        self._attempt = progress.attempt
        self._watch = Watch(layout, progress.attempt)
        self._total = sys.maxsize if checkpoint.total_samples is None else checkpoint.total_samples
        self._opened_s = clock.monotonic()
        # An interrupt in the very moment of leaving a `with` leaves the mutex taken: its thread may still go on.
        self._mutex = threading.RLock()
        self._in_step = True  # False while the log may hold records that the totals do not count
        self._failed: CheckpointError | None = None
        self._unsynced = 0
        self._sync_records = durability.sync_records or sys.maxsize
        self._sync_due_s = self._recorded_s = self._told_s = self._replaced_s = self._opened_s
        self._sync_due_bytes = log.offset_bytes + _UNCHECKED_BYTES
        self._untold = False
        self._keeper = Keeper(self._keep_up)
        self._replace()

    def record(self, records: Sequence[Record]) -> None:
        """Append them in one write. See CheckpointManager.record()."""
        with self._mutex:
            if self._failed is not None or not self._in_step or not records:
                self._check()
                return
            lines = self._lines(records)
            # An interrupt (Ctrl-C) may strike between the log and the totals. A checkpoint written then would point
            # past records that it does not count.
            self._in_step = False
            try:
                self.log.append(lines)
            except CheckpointError as error:
                self._failed, self._in_step = error, True
                raise
            for each in records:
                self.progress.add(each)
            if self.in_flight or self.crash_counts:
                self._forget(records)
            self._in_step = True
            self._follow_up(len(records))

    def begin(self, idxs: Iterable[int]) -> None:
        """Put these samples on disk as in flight."""
        with self._mutex:
            self._check()
            self._watch.check()
            self.in_flight = {idx for idx in idxs if idx not in self.progress.completed}
            self._tell()

    def commit(self) -> None:
        """Sync the log, then replace the checkpoint, durably."""
        with self._mutex:
            self._check()
            self._guarded(lambda: self._sync(replace_now=True))

    def close(self) -> None:
        """Commit and end the thread. What is in flight was given up, and did not crash. Raises what failed before."""
        self._keeper.stop()
        with self._mutex:
            try:
                if self._failed is not None:
                    raise self._failed
                if self._in_step:
                    self.in_flight.clear()
                    self._sync(replace_now=True)
            finally:
                self._end()

    def abandon(self) -> None:
        """Close the files, and leave them as they are."""
        self._keeper.stop()
        with self._mutex:
            self._end()

    def is_completed(self, idx: int) -> bool:
        """Whether the sample has its record."""
        with self._mutex:
            self._check()
            return idx in self.progress.completed

    def checkpoint(self) -> Checkpoint:
        """The run as it stands."""
        with self._mutex:
            return self._checkpoint()

    # Inside: the mutex is held

    def _end(self) -> None:
        self._failed = RunNotOpen(f"{self.layout.root} is closed")
        self._file.close()
        self.log.close()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed
        if not self._in_step:
            raise RunNotOpen(f"a record() of {self.layout.root} was interrupted: close it, and open it again")

    def _guarded(self, act: Callable[[], None]) -> None:
        """After one failure nothing is acknowledged any more."""
        try:
            act()
        except CheckpointError as error:
            self._failed = error
            raise

    def _lines(self, records: Sequence[Record]) -> bytes:
        now, attempt, total, completed = self._wall(), self._attempt, self._total, self.progress.completed
        for each in records:
            idx = each.idx
            if idx <= completed.highest and idx in completed:
                raise ValueError(f"sample {idx} is already recorded")
            if not 0 <= idx < total:
                self._refuse(idx)
        if len(records) == 1:
            return each.encode(now, attempt)
        for idx, count in Counter([each.idx for each in records]).items():
            if count > 1:
                raise ValueError(f"sample {idx} is already recorded: it is there twice")
        return b"".join([each.encode(now, attempt) for each in records])

    def _refuse(self, idx: int) -> None:
        if idx < 0:
            raise ValueError(f"a sample's index is at least 0, not {idx}")
        raise ValueError(f"sample {idx} is beyond the run's {self._total} samples")

    def _forget(self, records: Sequence[Record]) -> None:
        for each in records:
            self.in_flight.discard(each.idx)
            self.crash_counts.pop(each.idx, None)

    def _follow_up(self, count: int) -> None:
        """Sync when it is time; let the readers know at once, or soon when nobody can have looked in between."""
        now_s = self._monotonic()
        first = not self._unsynced
        if first:
            self._sync_due_s = now_s + self._durability.sync_interval_s
        self._unsynced += count
        if self._unsynced >= self._sync_records:
            # Not in the thread: handing over costs more than the sync, since this one hardly lets go of the
            # interpreter.
            self._guarded(self._sync)
            self._recorded_s = now_s
            return
        if now_s - self._recorded_s >= _RUSH_GAP_S or now_s - self._told_s >= _RUSH_TOLD_S:
            self._tell(now_s)
        else:
            self._untold = True
        self._recorded_s = now_s
        if (first or self._untold) and not self._keeper.coming:
            self._keeper.wake()

    def _sync(self, *, replace_now: bool = False) -> None:
        self.log.sync()
        self._unsynced = 0
        self._after_sync(replace_now=replace_now)

    def _after_sync(self, *, replace_now: bool = False) -> None:
        self._sync_due_bytes = self.log.synced_bytes + _UNCHECKED_BYTES
        if replace_now or self._monotonic() - self._replaced_s >= REPLACE_INTERVAL_S:
            self._replace()
        else:
            self._tell()

    def _replace(self) -> None:
        self._watch.check()
        self._file.replace(self._encoded())
        self._told_s = self._replaced_s = self._monotonic()
        self._untold = False

    def _tell(self, now_s: float | None = None) -> None:
        self._guarded(self._overwrite)
        self._told_s = self._monotonic() if now_s is None else now_s
        self._untold = False

    def _overwrite(self) -> None:
        if self.log.offset_bytes >= self._sync_due_bytes:
            self._sync_due_s = -math.inf
            self._keeper.wake()
        data = self._encoded()
        if self._file.fits(data):
            self._watch.check()
            self._file.overwrite(data)
        else:
            self._replace()

    def _checkpoint(self) -> Checkpoint:
        elapsed_s = self.base.elapsed_s + self._clock.monotonic() - self._opened_s
        return self.base.advanced(
            self.progress,
            self._clock.wall(),
            elapsed_s,
            self.log.offset_bytes,
            synced_bytes=self.log.synced_bytes,
            in_flight=self._in_flight_ranges(),
            crash_counts=dict(self.crash_counts),
        )

    def _encoded(self) -> bytes:
        """_checkpoint().encode(), several times as fast: a part of the cost of every record."""
        values, progress, completed = self._values, self.progress, self.progress.completed
        values["last_update_time"] = self._clock.wall()
        values["last_completed_idx"] = completed.last_completed_idx
        values["samples_processed"] = progress.samples_processed
        values["correct_count"] = progress.correct_count
        values["accuracy"] = progress.accuracy
        values["status_counts"] = progress.status_counts
        values["score_sums"] = progress.score_sums
        values["elapsed_s"] = self.base.elapsed_s + self._clock.monotonic() - self._opened_s
        values["attempt"] = progress.attempt
        values["log_offset_bytes"] = self.log.offset_bytes
        values["synced_bytes"] = self.log.synced_bytes
        values["in_flight"] = self._in_flight_ranges()
        values["crash_counts"] = list(self.crash_counts.items())
        values["completed_above"] = completed.above_watermark(MAX_RANGES)
        return pad(values)

    def _in_flight_ranges(self) -> Ranges:
        return tuple(CompletedSet.of(self.in_flight).ranges()) if self.in_flight else ()

    def _keep_up(self) -> float | None:
        """What the thread does: tell readers of the end of a rush, sync what waits. Returns seconds to wait."""
        if not self._take_mutex():
            return None
        try:
            self._keeper.coming = False
            if self._failed is not None or not self._in_step:
                return None
            if self._untold:
                self._tell()
            left_s = self._sync_due_s - self._clock.monotonic()
            if self._unsynced and left_s > 0:
                return max(left_s, CATCH_UP_S)
            due, self._unsynced = self._unsynced, 0
        except CheckpointError:
            return None  # kept: the next record() raises it
        finally:
            self._mutex.release()
        if due:
            self._sync_aside()
        return None

    def _sync_aside(self) -> None:
        """Sync while others record."""
        failed: CheckpointError | None = None
        try:
            self.log.sync()
        except CheckpointError as error:
            failed = error
        if not self._take_mutex():
            self._failed = self._failed or failed
            return
        try:
            self._failed = self._failed or failed
            if self._failed is None and self._in_step:
                self._guarded(self._after_sync)
        except CheckpointError:
            pass  # kept as well
        finally:
            self._mutex.release()

    def _take_mutex(self) -> bool:
        """False when the thread is to end: close() waits for it, perhaps with the mutex in its hands."""
        while not self._keeper.ended:
            if self._mutex.acquire(timeout=0.02):
                return True
        return False
