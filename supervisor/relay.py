"""The child's output: to our own streams as it comes, to the attempt's raw log, and its end into memory.

Bytes are passed through untouched. They may be of any encoding, at any rate, in lines of any length.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import IO

TAIL_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_STALL_S = 0.1


class Tail:
    """The last `TAIL_BYTES` of what was added."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        """Keep the end."""
        self._buffer += data
        if len(self._buffer) > 2 * TAIL_BYTES:
            del self._buffer[:-TAIL_BYTES]

    def __bytes__(self) -> bytes:
        return bytes(self._buffer[-TAIL_BYTES:])


class Stream:
    """One of the child's two streams and where it goes.

    `announce` is called before something is written to our side, with the data, so that a display can step aside.
    Our side may be closed (`| head`): the child then goes on, and so does the log. It may be stalled (a pager,
    Ctrl-S): the child then waits, as it would without us, unless `in_a_hurry` says that there is more to do; what
    is waiting is then left to the log alone.
    """

    def __init__(
        self,
        source: IO[bytes],
        target: int,
        log: int | None,
        tail: Tail,
        in_a_hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source, self._target, self._log, self._tail = source, target, log, tail
        self._in_a_hurry = in_a_hurry
        os.set_blocking(source.fileno(), False)

    def fileno(self) -> int:
        """For select()."""
        return self._source.fileno()

    def pump(self, announce: Callable[[bytes], None]) -> bool:
        """Move what is there, at most 64 KiB. False once the child's end is closed."""
        try:
            data = os.read(self._source.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        self._tail.add(data)
        if self._log is not None and not _write(self._log, data, lambda: False):
            self._log = None
        if self._target >= 0:
            announce(data)
            if not _write(self._target, data, self._in_a_hurry):
                self._target = -1
        return True


def _write(descriptor: int, data: bytes, in_a_hurry: Callable[[], bool]) -> bool:
    """Write all of it, or what can be written before there is a hurry. False when nobody can take it any more."""
    view = memoryview(data)
    try:
        while view:
            if select.select([], [descriptor], [], _STALL_S)[1]:
                # A pipe that is ready takes this much without blocking.
                view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]
            elif in_a_hurry():
                return True
    except BlockingIOError:
        return _write(descriptor, bytes(view), in_a_hurry)
    except OSError:
        return False
    return True
