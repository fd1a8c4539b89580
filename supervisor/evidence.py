"""What is known about the end of an attempt, before anybody judges it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: by exit code or by signal, exactly one of the two."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        return f"exit code {self.code}" if self.signal is None else signal_name(self.signal)


class StopReason(StrEnum):
    """Why we asked the child to end."""

    USER = "user"  # Ctrl-C
    DRAIN = "drain"  # somebody wants us gone: SIGTERM or SIGHUP
    WARNED = "warned"  # the end is near, says a scheduler by USR1 or USR2; the child may still finish


@dataclass(frozen=True)
class Evidence:
    """The facts of one attempt's end.

    `notified` is whether the child spoke sd_notify at all; `progressed` whether it committed new samples.
    `finished` is whether it has reported all of its samples as committed.
    `told_to_go` is whether chaos has sent it a SIGTERM: an exit code 0 may then be the answer to that.
    `tail` is the end of its output, both streams in order of arrival.
    """

    status: ExitStatus
    stop: StopReason | None = None
    notified: bool = False
    progressed: bool = False
    tail: bytes = b""
    finished: bool = False
    told_to_go: bool = False


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; `signal 99` for what has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
