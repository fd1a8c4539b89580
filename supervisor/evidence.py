"""What is known about the end of an attempt, before anybody judges it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from supervisor.declaration import Declaration


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: by exit code or by signal, exactly one of the two."""

    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False

    def __str__(self) -> str:
        return f"exit code {self.code}" if self.signal is None else signal_name(self.signal)


class StopReason(StrEnum):
    """Why we asked the child to end, though nothing was wrong with it."""

    USER = "user"  # Ctrl-C
    DRAIN = "drain"  # somebody wants us gone: SIGTERM or SIGHUP
    WARNED = "warned"  # the end is near, says a scheduler by USR1 or USR2; the child may still finish
    DEADLINE = "deadline"  # the time for the whole supervision is over


class Ending(StrEnum):
    """Why we ended a child that something was wrong with."""

    TIMEOUT = "timeout"  # the attempt took longer than it may
    HANG = "hang"  # no sign of life


@dataclass(frozen=True)
class KernelView:
    """What the kernel counted and said while the attempt ran.

    `oom_kills` is by how much the memory cgroup's counter rose; `shared` whether others live in that cgroup, so that
    a rise may be about them; `lines` are the kernel log's that name a process of ours.
    """

    oom_kills: int = 0
    shared: bool = True
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The facts of one attempt's end.

    `ending` is why we killed it, if we did. `declared` is what the child wrote before it died.
    `notified` is whether the child spoke sd_notify at all; `progressed` whether it committed new samples.
    `tail` is the end of its output, both streams in order of arrival, since its last committed sample.
    `finished` is whether it has reported all of its samples as committed.
    `told_to_go` is whether chaos has sent it a SIGTERM: an exit code 0 may then be the answer to that.
    `in_flight` names the samples it said to be working on. `is_shell` is whether the command is a shell, which
    reports a death by signal n as exit code 128 + n. `shm_full` is whether /dev/shm is.
    """

    status: ExitStatus
    stop: StopReason | None = None
    notified: bool = False
    progressed: bool = False
    tail: bytes = b""
    finished: bool = False
    told_to_go: bool = False
    ending: Ending | None = None
    ending_detail: str = ""
    declared: Declaration | None = None
    kernel: KernelView = KernelView()
    in_flight: str = ""
    is_shell: bool = False
    shm_full: bool = False


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; `signal 99` for what has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
