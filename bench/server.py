"""Our side of the process that forks the victims."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.probe import environment
from bench.victim import Orders

_PIPE_BYTES = 4096  # a victim is ahead of us by 64 acknowledgements at most


@dataclass
class Server:
    """The process that forks the victims, and the pipe on which they acknowledge."""

    process: subprocess.Popen[bytes]
    pipe: int

    def start(self, orders: Orders) -> int:
        """Fork a victim; its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(orders.encode())
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> int:
        """The server's next word. Raises RuntimeError when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the victims' server ended with exit status {self.process.wait()}")
        return int(line)

    def has_answered(self) -> bool:
        """Whether there is a word to be read."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def heard(self, wait_s: float) -> bytes:
        """What the victim has said meanwhile, after waiting for it."""
        return _read(self.pipe) if select.select([self.pipe], [], [], max(0.0, wait_s))[0] else b""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The server, for as long as it is needed."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.victim", str(folder), str(writer)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[writer],
    )
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        yield Server(process, reader)
    finally:
        os.close(reader)  # a victim that is still there gets a broken pipe
        process.communicate()


def _read(pipe: int) -> bytes:
    """Whole acknowledgements: 4096 is a multiple of their size, and each write of up to that is atomic."""
    try:
        return os.read(pipe, _PIPE_BYTES)
    except BlockingIOError:
        return b""
