"""Short-lived programs beside the child: those that look at the dead, and the user's hooks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.02


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    until_s: float


class Helpers:
    """Starts programs without waiting for them, and ends each after its time.

    They are not the child's: what sweeps up after a child spares `pids`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: list[_Running] = []

    @property
    def pids(self) -> set[int]:
        """Those at work."""
        return {each.process.pid for each in self._running}

    def start(
        self,
        command: Sequence[str],
        output: Path | None,
        timeout_s: float,
        *,
        environment: Mapping[str, str] | None = None,
        told: bytes = b"",
    ) -> bool:
        """Start one, `told` on its standard input; False when it cannot be started, which ends nothing."""
        reader = -1
        try:
            # A file, not a pipe: it may be larger than a pipe holds, and nobody has to wait until it is read.
            reader = os.memfd_create("told")
            os.write(reader, told)
            os.lseek(reader, 0, os.SEEK_SET)
            with (output or Path(os.devnull)).open("ab") as out:
                process = subprocess.Popen(
                    command,
                    stdin=reader,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=None if environment is None else dict(environment),
                    start_new_session=True,
                )
        except OSError:
            return False
        finally:
            if reader >= 0:
                os.close(reader)
        self._running.append(_Running(process, self._clock() + timeout_s))
        return True

    def poll(self) -> None:
        """Collect those that are done, and end those that take too long."""
        for each in list(self._running):
            if each.process.poll() is not None:
                self._running.remove(each)
            elif self._clock() >= each.until_s:
                self._kill(each)

    def finish(self) -> None:
        """Wait for all of them, each within its time; a Ctrl-C ends the waiting and them."""
        try:
            while self._running:
                self.poll()
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            for each in self._running:
                self._kill(each)

    def _kill(self, each: _Running) -> None:
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
