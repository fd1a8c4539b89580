"""Telling the supervisor how far we are: sd_notify(3), which systemd understands as well.

Sends never block and never raise: nobody's evaluation ends because nobody listens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress


class Notifier:
    """Speaks to `$NOTIFY_SOCKET`; silent without one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def send(self, **values: object) -> None:
        """Send `KEY=value` lines in one datagram; line breaks in a value become spaces."""
        if self._socket is None:
            return
        lines = [f"{name}={str(value).replace(os.linesep, ' ')}" for name, value in values.items()]
        with suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)

    def ready(self) -> None:
        """Start-up is over."""
        self.send(READY=1)

    def status(self, text: str) -> None:
        """One line on what is going on."""
        self.send(STATUS=text)

    def busy(self, text: str, seconds: float) -> None:
        """What follows may take so long without a word."""
        self.send(STATUS=text, EXTEND_TIMEOUT_USEC=int(seconds * 1e6))

    def in_flight(self, idxs: Iterable[int]) -> None:
        """These samples are being worked on: `7, 12-15`."""
        ranges: list[list[int]] = []
        for idx in sorted(idxs):
            if ranges and ranges[-1][1] == idx - 1:
                ranges[-1][1] = idx
            else:
                ranges.append([idx, idx])
        self.send(X_IN_FLIGHT=", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges))

    def progress(self, done: int, total: int, accuracy: float | None) -> None:
        """So many samples are committed; `accuracy` is a share between 0 and 1."""
        shown = "" if accuracy is None else f", accuracy {accuracy:.1%}"
        numbers: dict[str, object] = {"X_DONE": done, "X_TOTAL": total}
        if accuracy is not None:
            numbers["X_ACCURACY"] = accuracy
        self.send(STATUS=f"{done}/{total}{shown}", WATCHDOG=1, **numbers)
