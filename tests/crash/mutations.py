"""Seeded bugs: each is a store that somebody could have written. A harness that misses its bugs proves nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import portalocker

from checkpoints import atomic, checkpoint_file, encoding, epoch, lock, log, manager, recovery, writer
from checkpoints.errors import StorageFailed


def apply(name: str) -> None:
    """Put the bug into this process's copy of the store; the empty name leaves it sound. Raises KeyError."""
    if name:
        BUGS[name]()


def acknowledges_before_writing() -> None:
    """Records wait in memory for the next sync."""
    sync = log.LogWriter.sync
    append = log.LogWriter.append

    def gather(self: Any, lines: bytes) -> None:
        self.__dict__.setdefault("waiting", []).append(lines)

    def flush(self: Any) -> None:
        waiting = self.__dict__.pop("waiting", [])
        if waiting:
            append(self, b"".join(waiting))
        sync(self)

    _replace(log.LogWriter, append=gather, sync=flush)


def ignores_short_writes() -> None:
    """What write(2) returns is not looked at."""

    def append(self: Any, lines: bytes) -> None:
        try:
            os.write(self._descriptor, lines)
        except OSError as error:
            raise StorageFailed("append to", self.path, error) from error
        self.offset_bytes += len(lines)

    _replace(log.LogWriter, append=append)


def leaves_the_torn_tail() -> None:
    """The next record is appended to half a line."""
    _replace(log.LogWriter, cut=lambda self, end_bytes: None)


def ends_the_torn_tail_with_a_newline() -> None:
    """Instead of cutting it off."""
    _replace(log.LogWriter, cut=lambda self, end_bytes: os.write(self._descriptor, b"\n"))


def checks_only_the_newline() -> None:
    """Any line that ends counts, whatever its checksum says."""
    width = len(b',"crc":"01234567"}\n')

    def unseal(line: bytes) -> Any:
        if not line.endswith(b"\n"):
            raise encoding.BadLine("the line is not terminated")
        try:
            return encoding.load(line[:-width] + b"}")
        except ValueError as error:
            raise encoding.BadLine(str(error)) from None

    for module in _modules():
        if hasattr(module, "unseal"):
            _replace(module, unseal=unseal)
        if hasattr(module, "intact"):
            _replace(module, intact=lambda lines: True)


def retries_the_fsync() -> None:
    """Sooner or later it returns success, and the data is gone."""

    def insist(self: Any, action: str, call: Callable[[], None]) -> None:
        for _ in range(5):
            try:
                return call()
            except OSError as error:
                failure = error
        raise StorageFailed(action, self.path, failure)

    _replace(log.LogWriter, _try=insist)


def swallows_a_full_disk() -> None:
    """A warning instead of an error."""
    append = log.LogWriter.append

    def careless(self: Any, lines: bytes) -> None:
        try:
            append(self, lines)
        except StorageFailed as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.ENOSPC:
                raise
            self._failed = None

    _replace(log.LogWriter, append=careless)


def checkpoints_before_the_log() -> None:
    """The checkpoint speaks of records that are not in the log yet."""
    record = writer.RunWriter.record

    def early(self: Any, records: Any) -> None:
        tell, append = self._tell, self.log.append
        waiting: list[bytes] = []

        def gather(lines: bytes) -> None:
            waiting.append(lines)
            self.log.offset_bytes += len(lines)

        def tell_then_write(*when: float) -> None:
            tell(*when)
            lines = waiting.pop()
            self.log.offset_bytes -= len(lines)
            append(lines)

        self._tell, self.log.append, self._told_s = tell_then_write, gather, -1.0
        try:
            record(self, records)
        finally:
            self._tell, self.log.append = tell, append

    _replace(writer.RunWriter, record=early)


def replaces_in_place() -> None:
    """No temporary file: the old content is gone before the new one is there."""

    def replace_file(path: Path, data: bytes, *, shared: bool = False) -> None:
        with path.open("wb") as file:
            atomic.write_all(file.fileno(), data)
            os.fsync(file.fileno())

    for module in _modules():
        if hasattr(module, "replace_file"):
            _replace(module, replace_file=replace_file)


def forgets_the_checkpoint() -> None:
    """Resuming counts the whole log, each time."""
    _replace(recovery, _keeps=lambda results, checkpoint: False)


def fences_nobody_off() -> None:
    """Neither the writer nor the readers ask who has taken over."""
    _replace(epoch.Watch, check=lambda watch: None)
    _replace(epoch.Fence, oldest_allowed=lambda self, offset_bytes: 0)


def notices_a_takeover_never() -> None:
    """Readers know, the writer that lost its run does not ask."""
    _replace(epoch.Watch, check=lambda watch: None)


def unlinks_the_lock() -> None:
    """Taking it begins by removing the one that is there, which "must be stale"."""
    acquire = lock.RunLock.acquire

    def steal(self: Any) -> None:
        self.path.unlink(missing_ok=True)
        acquire(self)

    _replace(lock.RunLock, acquire=steal)


def locks_keep_nobody_out() -> None:
    """No bug of the store: a network file system that says yes to everybody."""
    _replace(portalocker.Lock, acquire=_open_only)


def _open_only(self: Any, *arguments: object, **more: object) -> Any:
    self.fh = open(self.filename, self.mode)  # noqa: PTH123, SIM115 - as the class that this stands in for
    return self.fh


def _modules() -> tuple[Any, ...]:
    import checkpoints.checkpoint
    import checkpoints.count
    import checkpoints.record

    package = checkpoints
    return manager, checkpoint_file, encoding, package.checkpoint, package.count, package.record


def _replace(target: Any, **members: Any) -> None:
    for name, value in members.items():
        assert hasattr(target, name), f"{target} has no {name}: this seeded bug no longer fits the store"
        setattr(target, name, value)


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        acknowledges_before_writing,
        ignores_short_writes,
        leaves_the_torn_tail,
        ends_the_torn_tail_with_a_newline,
        checks_only_the_newline,
        retries_the_fsync,
        swallows_a_full_disk,
        checkpoints_before_the_log,
        replaces_in_place,
        forgets_the_checkpoint,
        fences_nobody_off,
        notices_a_takeover_never,
        unlinks_the_lock,
        locks_keep_nobody_out,
    )
}
