"""One writer at a time: a portalocker lock on a file of its own, held for the writer's whole life."""

from __future__ import annotations

import os
import socket
import weakref
from contextlib import suppress
from pathlib import Path

import orjson
import portalocker

from checkpoints.atomic import write_all
from checkpoints.errors import RunLocked, StorageFailed


class RunLock:
    """The kernel drops the lock when its holder dies, however that happens, so none is ever stale.

    The file says who holds it, for people who are kept out. It is neither renamed nor unlinked: either would
    let two processes hold "the" lock at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: portalocker.Lock | None = None
        self.held = False  # whether this process holds it

    def acquire(self) -> None:
        """Raise RunLocked when another process holds it, StorageFailed when the file system cannot lock."""
        lock = portalocker.Lock(self.path, mode="a+", timeout=0, flags=portalocker.LOCK_EX | portalocker.LOCK_NB)
        try:
            file = lock.acquire()
        except portalocker.AlreadyLocked as error:
            raise RunLocked(self.path, describe_holder(self.path)) from error
        except (OSError, portalocker.LockException) as error:
            cause = error if isinstance(error, OSError) else OSError(f"the file system cannot lock ({error})")
            raise StorageFailed("lock", self.path, cause) from error
        if not _is_still(self.path, file.fileno()):
            lock.release()
            raise RunLocked(self.path, "another process, which has just moved it away")
        self._lock = lock
        self.held = True
        _held.add(self)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": _start_ticks(os.getpid())}
        try:
            os.truncate(file.fileno(), 0)
            write_all(file.fileno(), orjson.dumps(holder))
        except OSError as error:
            self.release()
            raise StorageFailed("write", self.path, error) from error

    def release(self) -> None:
        """Harmless when the lock is not held."""
        if self._lock is not None and self._lock.fh is not None:
            with suppress(OSError):
                self._lock.fh.truncate(0)
            self._lock.release()
        self._lock = None
        self.held = False
        _held.discard(self)

    def forget(self) -> None:
        """In a forked child: close the inherited descriptor, or the child would keep the parent's lock alive."""
        if self._lock is not None and self._lock.fh is not None:
            os.close(self._lock.fh.fileno())
        self._lock = None
        self.held = False


def read_holder(path: Path) -> dict[str, object] | None:
    """Who wrote the lock file last: `pid`, `host`, `started` (clock ticks after boot). None if released."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def describe_holder(path: Path) -> str:
    """The holder in words."""
    holder = read_holder(path)
    return f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another process"


def is_held(path: Path) -> bool:
    """Whether the process named in the lock file lives on this machine. Does not touch the lock."""
    holder = read_holder(path)
    if holder is None or holder.get("host") != socket.gethostname():
        return False
    pid = holder.get("pid")
    return isinstance(pid, int) and holder.get("started") == _start_ticks(pid)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path names the file that is open: the folder may have been renamed before the lock was ours."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; with the PID it names one process for good."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)
