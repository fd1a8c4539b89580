"""Evidence in, verdict out. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from supervisor.evidence import Evidence, StopReason, signal_name
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind
from supervisor.patterns import match


@dataclass(frozen=True)
class Success:
    """The work is done; the code is 0, or 3 from a child that reports its progress."""

    exit_code: ExitCode


@dataclass(frozen=True)
class Stopped:
    """The attempt ended because it was told to."""

    reason: StopReason


Verdict = Success | Stopped | Failure

_BY_SIGNAL = {
    signal.SIGSEGV: FailureKind.SEGFAULT,
    signal.SIGABRT: FailureKind.ABORT,
    signal.SIGBUS: FailureKind.BUS,
    signal.SIGILL: FailureKind.ILLEGAL_INSTRUCTION,
    signal.SIGFPE: FailureKind.FPE,
    signal.SIGKILL: FailureKind.SIGKILL,
    signal.SIGTERM: FailureKind.PREEMPTION,
}
_BY_CODE = {
    ExitCode.BAD_HARDWARE: FailureKind.HARDWARE,
    ExitCode.LOCK_HELD: FailureKind.LOCK_HELD,
    ExitCode.STORAGE: FailureKind.STORAGE,
    ExitCode.REQUEUE: FailureKind.PREEMPTION,
    85: FailureKind.PREEMPTION,
    ExitCode.DO_NOT_REQUEUE: FailureKind.DO_NOT_REQUEUE,
}
_USAGE_CODES = frozenset({2, 64, ExitCode.CONFIGURATION, ExitCode.NOT_EXECUTABLE, ExitCode.NOT_FOUND})
_DONE = (ExitCode.COMPLETE, ExitCode.COMPLETE_UNSCORED)
_MAY_FINISH = (None, StopReason.WARNED)
_SHELL_OFFSET = 128  # a shell reports a death by signal n as exit code 128 + n


def classify(evidence: Evidence) -> Verdict:
    """Judge the end of an attempt. What we did ourselves is believed first, then the status, then the last words."""
    status = evidence.status
    if status.code in _DONE and _is_proof(evidence):
        return Success(ExitCode(status.code))
    if evidence.stop is not None:
        return Stopped(evidence.stop)
    if status.signal == signal.SIGINT or status.code == ExitCode.INTERRUPTED:
        return Stopped(StopReason.USER)
    if status.signal is not None:
        return _by_signal(status.signal, str(status))
    return _by_code(status.code or 0, evidence)


def _is_proof(evidence: Evidence) -> bool:
    """Whether the code of a success is one."""
    if evidence.status.code == ExitCode.COMPLETE_UNSCORED:
        return evidence.notified  # from anybody else 3 may mean anything
    # Many programs answer SIGTERM with exit code 0, done or not.
    return evidence.finished or not (evidence.told_to_go or evidence.stop not in _MAY_FINISH)


def _by_signal(number: int, because: str) -> Failure:
    known = {int(key): kind for key, kind in _BY_SIGNAL.items()}
    return Failure(known.get(number, FailureKind.SIGNAL), because)


def _by_code(code: int, evidence: Evidence) -> Failure:
    if code == ExitCode.COMPLETE:
        return Failure(FailureKind.PREEMPTION, "exit code 0 in answer to the SIGTERM of chaos")
    if kind := _BY_CODE.get(code):
        return Failure(kind, f"exit code {code}")
    if code - _SHELL_OFFSET in {int(key) for key in _BY_SIGNAL}:
        number = code - _SHELL_OFFSET
        return _by_signal(number, f"exit code {code}, which is {_SHELL_OFFSET} + {signal_name(number)}")
    found = match(evidence.tail, evidence.progressed)
    # After committed samples the command line was evidently right: the same code then means something else.
    if code in _USAGE_CODES and not evidence.progressed:
        hint = found[0].hint if found and found[0].kind is FailureKind.USAGE else ""
        return Failure(FailureKind.USAGE, f"exit code {code} before any progress", hint)
    if found is not None:
        pattern, words = found
        return Failure(pattern.kind, f"exit code {code}; its last words say {words!r}", pattern.hint)
    return Failure(FailureKind.UNKNOWN, f"exit code {code}")
