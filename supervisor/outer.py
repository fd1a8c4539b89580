"""Our own voice: sd_notify(3) to whoever supervises us, systemd for instance."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from supervisor.display import describe
from supervisor.progress import Progress

_INTERVAL_S = 1.0


class Outer:
    """Speaks to `$NOTIFY_SOCKET`; silent without one. Never blocks, never raises.

    Where systemd expects a sign of life (`WATCHDOG_USEC`), alive() gives one when half of that time is over.
    """

    def __init__(self, environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._clock = clock
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        usec = environment.get("WATCHDOG_USEC", "")
        self._beat_every_s = int(usec) / 2e6 if usec.isdecimal() and int(usec) else None
        self._beaten_s = self._told_s = float("-inf")

    def ready(self) -> None:
        """We are at work."""
        self._send("READY=1")

    def say(self, text: str) -> None:
        """What is going on, in one line."""
        self._send(f"STATUS={' '.join(text.split())}")

    def pass_on(self, progress: Progress) -> None:
        """How far the child is, once a second at most."""
        if self._socket is None or self._clock() - self._told_s < _INTERVAL_S:
            return
        self._told_s = self._clock()
        numbers = {"X_DONE": progress.done, "X_TOTAL": progress.total, "X_ACCURACY": progress.accuracy}
        lines = [f"{name}={value}" for name, value in numbers.items() if value is not None]
        self._send("\n".join([f"STATUS={' '.join(describe(progress).split())}", *lines]))

    def alive(self) -> None:
        """Give a sign of life, if one is due."""
        if self._beat_every_s is not None and self._clock() - self._beaten_s >= self._beat_every_s:
            self._beaten_s = self._clock()
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """We are on our way out."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Fall silent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(text.encode(errors="replace"), self._address)
