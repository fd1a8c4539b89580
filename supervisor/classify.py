"""Evidence in, verdict out. Pure.

In order of trust: why we ended it ourselves, what the child declared, what the kernel counted, how it ended, what it
said last. The first that explains the end decides; all of it is told.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

from supervisor.declaration import first_line
from supervisor.evidence import Ending, Evidence, StopReason, signal_name
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind
from supervisor.fingerprint import faulthandler_text, fingerprint
from supervisor.patterns import Match, match
from supervisor.rules import Rules


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
    int(signal.SIGSEGV): FailureKind.SEGFAULT,
    int(signal.SIGABRT): FailureKind.ABORT,
    int(signal.SIGBUS): FailureKind.BUS,
    int(signal.SIGILL): FailureKind.ILLEGAL_INSTRUCTION,
    int(signal.SIGFPE): FailureKind.FPE,
    int(signal.SIGKILL): FailureKind.SIGKILL,
    int(signal.SIGTERM): FailureKind.PREEMPTION,
}
_BY_CODE = {
    int(ExitCode.BAD_HARDWARE): FailureKind.HARDWARE,
    int(ExitCode.LOCK_HELD): FailureKind.LOCK_HELD,
    int(ExitCode.STORAGE): FailureKind.STORAGE,
    int(ExitCode.REQUEUE): FailureKind.PREEMPTION,
    85: FailureKind.PREEMPTION,
    int(ExitCode.DO_NOT_REQUEUE): FailureKind.DO_NOT_REQUEUE,
}
_BY_ENDING = {Ending.TIMEOUT: FailureKind.TIMEOUT, Ending.HANG: FailureKind.HANG}
_USAGE_CODES = frozenset({2, 64, ExitCode.CONFIGURATION, ExitCode.NOT_EXECUTABLE, ExitCode.NOT_FOUND})
_DONE = (ExitCode.COMPLETE, ExitCode.COMPLETE_UNSCORED)
_MAY_FINISH = (None, StopReason.WARNED)
_SHELL_OFFSET = 128  # a shell reports a death by signal n as exit code 128 + n
_KILLED = (signal.SIGKILL, _SHELL_OFFSET + signal.SIGKILL)
# Libraries abort() when they have said what is wrong: then that is the reason, and not the abort.
_BEHIND_ABORT = frozenset(
    {
        FailureKind.ABORT,
        FailureKind.NCCL,
        FailureKind.CUDA_OOM,
        FailureKind.CUDA_FAULT,
        FailureKind.HARDWARE,
        FailureKind.HOST_OOM,
        FailureKind.STORAGE,
    }
)
_NO_RULES = Rules()


def classify(evidence: Evidence, rules: Rules = _NO_RULES) -> Verdict:
    """Judge the end of an attempt."""
    status = evidence.status
    if status.code in _DONE and _is_proof(evidence):
        return Success(ExitCode(status.code))
    if evidence.stop is not None:
        return Stopped(evidence.stop)
    if evidence.ending is None and (status.signal == signal.SIGINT or status.code == ExitCode.INTERRUPTED):
        return Stopped(StopReason.USER)
    found = match(evidence.tail, evidence.progressed, rules.patterns)
    failure = (
        _by_ourselves(evidence)
        or _by_declaration(evidence, rules)
        or _by_kernel(evidence)
        or _by_rules(evidence, rules)
        or _by_signal(evidence, found)
        or _by_code(evidence, found)
    )
    mark = fingerprint(failure.kind, str(status), _last_words(evidence), evidence.in_flight)
    return replace(failure, chain=tuple(_chain(evidence, found)), fingerprint=mark)


def _is_proof(evidence: Evidence) -> bool:
    """Whether the code of a success is one."""
    if evidence.status.code == ExitCode.COMPLETE_UNSCORED:
        return evidence.notified  # from anybody else 3 may mean anything
    # Many programs answer SIGTERM with exit code 0, done or not.
    asked = evidence.told_to_go or evidence.ending is not None or evidence.stop not in _MAY_FINISH
    return evidence.finished or not asked


def _by_ourselves(evidence: Evidence) -> Failure | None:
    if evidence.ending is None:
        return None
    return Failure(_BY_ENDING[evidence.ending], evidence.ending_detail or f"ended by us: {evidence.ending}")


def _by_declaration(evidence: Evidence, rules: Rules) -> Failure | None:
    declared = evidence.declared
    if declared is None:
        return None
    if declared.kind is not None:
        return Failure(declared.kind, f"the child declared: {declared}", declared.hint)
    words = f"{declared.traceback}\n{declared.type}: {declared.message}".encode(errors="replace")
    found = match(words, evidence.progressed, rules.patterns)
    return None if found is None else Failure(found.pattern.kind, f"the child declared: {declared}", found.pattern.hint)


def _by_kernel(evidence: Evidence) -> Failure | None:
    """The kernel's killer, and what its log says of the hardware.

    A helper that was killed may end its parent with any exit code. A counter that others share proves that only
    together with a SIGKILL.
    """
    status, kernel = evidence.status, evidence.kernel
    for line in kernel.lines:
        found = match(line.encode(errors="replace"), evidence.progressed)
        if found and found.pattern.kind in {FailureKind.HARDWARE, FailureKind.HOST_OOM}:
            return Failure(found.pattern.kind, f"the kernel says: {first_line(line)}", found.pattern.hint)
    killed = status.signal in _KILLED or status.code in _KILLED
    if kernel.oom_kills and (killed or not kernel.shared) and (status.code or 0) not in _BY_CODE:
        return Failure(
            FailureKind.HOST_OOM,
            f"{status}, and the kernel's out-of-memory killer struck {kernel.oom_kills} time(s) meanwhile",
            "give it more memory, or let it use less",
        )
    return None


def _by_signal(evidence: Evidence, found: Match | None) -> Failure | None:
    number, because = evidence.status.signal, str(evidence.status)
    code = evidence.status.code or 0
    if number is None and code - _SHELL_OFFSET in _BY_SIGNAL:
        number = code - _SHELL_OFFSET
        because = f"exit code {code}, which is {_SHELL_OFFSET} + {signal_name(number)}"
    if number is None:
        return None
    if number == signal.SIGABRT and found and found.pattern.kind in _BEHIND_ABORT:
        return Failure(found.pattern.kind, f"{because}; its last words say {found.words!r}", found.pattern.hint)
    if number == signal.SIGBUS and evidence.shm_full:
        return Failure(FailureKind.USAGE, f"{because}, and /dev/shm is full", "give /dev/shm more room (--shm-size)")
    hint = found.pattern.hint if found and found.pattern.kind is FailureKind.BUS and number == signal.SIGBUS else ""
    return Failure(_BY_SIGNAL.get(number, FailureKind.SIGNAL), because, hint)


def _by_rules(evidence: Evidence, rules: Rules) -> Failure | None:
    code = evidence.status.code or 0
    return Failure(rules.codes[code], f"exit code {code}, by the policy") if code in rules.codes else None


def _by_code(evidence: Evidence, found: Match | None) -> Failure:
    code = evidence.status.code or 0
    if code == ExitCode.COMPLETE:
        return Failure(FailureKind.PREEMPTION, "exit code 0 in answer to the SIGTERM of chaos")
    if kind := _BY_CODE.get(code):
        return Failure(kind, f"exit code {code}")
    # After committed samples the command line was evidently right: the same code then means something else.
    if code in _USAGE_CODES and not evidence.progressed:
        hint = found.pattern.hint if found and found.pattern.kind is FailureKind.USAGE else ""
        return Failure(FailureKind.USAGE, f"exit code {code} before any progress", hint)
    if found is not None:
        because = f"exit code {code}; its last words say {found.words!r}"
        return Failure(found.pattern.kind, because, found.pattern.hint)
    declared = f"; the child declared: {evidence.declared}" if evidence.declared else ""
    return Failure(FailureKind.UNKNOWN, f"exit code {code}{declared}")


def _chain(evidence: Evidence, found: Match | None) -> Iterator[str]:
    """All that is known, the most trusted first."""
    if evidence.ending is not None:
        yield f"ours: we ended it, {evidence.ending_detail or evidence.ending}"
    if evidence.declared is not None:
        yield f"declared: {evidence.declared.kind or 'no kind'}: {evidence.declared}"
    if evidence.kernel.oom_kills:
        others = ", and others live in that cgroup" if evidence.kernel.shared else ""
        yield f"kernel: oom_kill rose by {evidence.kernel.oom_kills}{others}"
    for line in evidence.kernel.lines:
        yield f"kernel: {first_line(line)}"
    yield f"status: {evidence.status}{', core dumped' if evidence.status.core_dumped else ''}"
    if (evidence.status.code or 0) - _SHELL_OFFSET in _BY_SIGNAL and not evidence.is_shell:
        words = "its faulthandler spoke" if faulthandler_text(evidence.tail) else "nothing else says so"
        yield f"status: {evidence.status} of a command that is no shell; {words}"
    if found is not None:
        yield f"words: {found.words!r}, known as {found.pattern.kind} from {found.pattern.source}"
    yield f"progress: {'new samples committed' if evidence.progressed else 'none'}"
    if evidence.in_flight:
        yield f"in flight: {evidence.in_flight}"


def _last_words(evidence: Evidence) -> bytes:
    if evidence.declared is None or not evidence.declared.traceback:
        return evidence.tail
    return evidence.declared.traceback.encode(errors="replace")
