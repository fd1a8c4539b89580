"""The child's output: to our own side as it comes, to the attempt's raw log, and its end into memory.

Bytes are passed through untouched. They may be of any encoding, at any rate, in lines of any length.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from typing import Protocol

TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
_STALL_S = 0.1


class Source(Protocol):
    """Something with a descriptor to read from."""

    def fileno(self) -> int:
        """The descriptor."""


class Sink(Protocol):
    """Somewhere for the output to go."""

    def __call__(self, data: bytes) -> None:
        """Take all of it. Never raises: what cannot be taken is dropped."""


class Tail:
    """The last `TAIL_BYTES` of what was added."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._marked = 0  # where in the buffer mark() was called last

    def add(self, data: bytes) -> None:
        """Keep the end."""
        self._buffer += data
        if len(self._buffer) > 2 * TAIL_BYTES:
            dropped = len(self._buffer) - TAIL_BYTES
            del self._buffer[:dropped]
            self._marked = max(0, self._marked - dropped)

    def mark(self) -> None:
        """What was said so far was survived: it does not explain the end."""
        self._marked = len(self._buffer)

    @property
    def since_mark(self) -> bytes:
        """The last words since mark()."""
        return bytes(self._buffer[max(self._marked, len(self._buffer) - TAIL_BYTES) :])

    def __bytes__(self) -> bytes:
        return bytes(self._buffer[-TAIL_BYTES:])


class Stream:
    """One of the child's streams and the places where its bytes go, in this order."""

    def __init__(self, source: Source, *sinks: Sink) -> None:
        self._source, self._sinks = source, sinks
        os.set_blocking(source.fileno(), False)

    def fileno(self) -> int:
        """For select()."""
        return self._source.fileno()

    def pump(self) -> bool:
        """Move what is there, at most 64 KiB. False once the child's end is closed."""
        try:
            data = os.read(self._source.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal says that nobody is at its other end
                return False
            raise
        if not data:
            return False
        for sink in self._sinks:
            sink(data)
        return True


class Outlet:
    """One of our own descriptors.

    It may be closed (`| head`): the child then goes on, and so does the log. It may be stalled (a pager, Ctrl-S): the
    child then waits, as it would without us, unless `in_a_hurry` says that there is more to do; what is waiting is
    then left to the log alone.
    """

    def __init__(self, descriptor: int, in_a_hurry: Callable[[], bool] = lambda: False) -> None:
        self._descriptor, self.in_a_hurry = descriptor, in_a_hurry

    def __call__(self, data: bytes) -> None:
        """Pass it on."""
        if self._descriptor >= 0 and not self._write(data):
            self._descriptor = -1

    def _write(self, data: bytes) -> bool:
        """Write all of it, or what can be written before there is a hurry. False when nobody can take it any more."""
        view = memoryview(data)
        try:
            while view:
                if select.select([], [self._descriptor], [], _STALL_S)[1]:
                    # A pipe that is ready takes this much without blocking.
                    view = view[os.write(self._descriptor, view[: select.PIPE_BUF]) :]
                elif self.in_a_hurry():
                    return True
        except BlockingIOError:
            return self._write(bytes(view))
        except OSError:
            return False
        return True
