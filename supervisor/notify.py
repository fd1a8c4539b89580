"""The child's voice: sd_notify(3) datagrams on a socket that we own.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_DATAGRAM_BYTES = 1 << 16
_BATCH = 1024  # more than the kernel queues, and an end to a child that never stops talking
_LONGEST_PATH = 107  # sun_path of <sys/un.h>, without its final NUL


@dataclass(frozen=True)
class Report:
    """What one datagram said; a field that it did not mention is None.

    `in_flight` names the samples that are being worked on; `allowance_s` is how long the child wants to be left alone.
    """

    ready: bool = False
    status: str | None = None
    done: int | None = None
    total: int | None = None
    accuracy: float | None = None
    in_flight: str | None = None
    allowance_s: float | None = None


def parse(datagram: bytes) -> Report:
    """Read `KEY=value` lines. Unknown keys and unreadable values are passed over: a child must not break us."""
    values = dict(line.split("=", 1) for line in datagram.decode(errors="replace").splitlines() if "=" in line)
    accuracy = _number(values.get("X_ACCURACY"))
    allowance = _number(values.get("EXTEND_TIMEOUT_USEC"))
    done, total = _number(values.get("X_DONE")), _number(values.get("X_TOTAL"))
    return Report(
        ready=values.get("READY") == "1",
        status=values.get("STATUS"),
        done=None if done is None else int(done),
        total=None if total is None else int(total),
        accuracy=accuracy,
        in_flight=values.get("X_IN_FLIGHT"),
        allowance_s=None if allowance is None else allowance / 1e6,
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e15 else None  # neither nan nor inf passes


class NotifySocket:
    """A Unix datagram socket in a private folder of its own; `path` goes into the child's NOTIFY_SOCKET."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="supervise-"))
        if len(os.fsencode(self._folder / "notify")) > _LONGEST_PATH:  # a long TMPDIR
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="supervise-", dir="/tmp"))
        self.path = self._folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self.path))

    def fileno(self) -> int:
        """For select()."""
        return self._socket.fileno()

    def receive(self) -> list[Report]:
        """What has arrived, without waiting."""
        reports: list[Report] = []
        with suppress(BlockingIOError):
            while len(reports) < _BATCH:
                reports.append(parse(self._socket.recv(_DATAGRAM_BYTES)))
        return reports

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)
