"""Whether to try again, and when. Pure: history in, decision out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind

# Restarts per kind since the last progress; a kind that is not listed is bounded by max_retries alone.
DEFAULT_KIND_RETRIES: Mapping[FailureKind, int] = MappingProxyType(
    {
        FailureKind.USAGE: 0,
        FailureKind.ABORT: 3,
        FailureKind.BUS: 2,
        FailureKind.ILLEGAL_INSTRUCTION: 1,
        FailureKind.FPE: 1,
        FailureKind.SIGKILL: 3,
        FailureKind.SIGNAL: 3,
        FailureKind.CUDA_OOM: 3,
        FailureKind.STORAGE: 0,
        FailureKind.LOCK_HELD: 0,
        FailureKind.HARDWARE: 0,
        FailureKind.DO_NOT_REQUEUE: 0,
        FailureKind.UNKNOWN: 3,
    }
)
_SLOW_KINDS = frozenset({FailureKind.SIGKILL, FailureKind.CUDA_OOM})  # memory needs time to come back
_GIVE_UP_CODES = {
    FailureKind.USAGE: ExitCode.CONFIGURATION,
    FailureKind.STORAGE: ExitCode.STORAGE,
    FailureKind.LOCK_HELD: ExitCode.LOCK_HELD,
    FailureKind.HARDWARE: ExitCode.BAD_HARDWARE,
    FailureKind.DO_NOT_REQUEUE: ExitCode.DO_NOT_REQUEUE,
}


@dataclass(frozen=True)
class Policy:
    """How patient to be. Delays are in seconds; `retry_delay_s` None means 1, or 10 where memory ran out."""

    max_retries: int = 10
    retry_delay_s: float | None = None
    delay_cap_s: float = 300.0
    kind_retries: Mapping[FailureKind, int] = field(default_factory=lambda: DEFAULT_KIND_RETRIES)


@dataclass(frozen=True)
class PastFailure:
    """One failed attempt, as the policy sees it: its kind, and whether it had committed new samples."""

    kind: FailureKind
    progressed: bool


@dataclass(frozen=True)
class Restart:
    """Try again after `delay_s` seconds; of `retries`, `retries_left` are then left without progress."""

    delay_s: float
    retries_left: int
    retries: int


@dataclass(frozen=True)
class GiveUp:
    """Stop here, with this exit code, because of this rule."""

    exit_code: ExitCode
    rule: str


def decide(history: Sequence[PastFailure], failure: Failure, policy: Policy, jitter: float) -> Restart | GiveUp:
    """Decide what follows the last failure of `history`, which is `failure`; `jitter` is uniform in [0, 1).

    Only committed samples renew the budget: what counts is the failures since the last attempt that made
    progress, that one's own included. A pre-emption is nobody's fault and is never counted.
    """
    ledger = since_progress(history)
    kinds: list[FailureKind] = [past.kind for past in ledger if past.kind is not FailureKind.PREEMPTION]
    limit = min(policy.kind_retries.get(failure.kind, policy.max_retries), policy.max_retries)
    same = sum(kind == failure.kind for kind in kinds)
    if failure.kind is not FailureKind.PREEMPTION:
        if same > limit:
            code = _GIVE_UP_CODES.get(failure.kind, ExitCode.RETRIES_SPENT)
            allowed = "is not retried" if limit == 0 else f"is retried at most {limit} times without progress"
            return GiveUp(code, f"{failure.kind} {allowed}")
        if len(kinds) > policy.max_retries:
            return GiveUp(ExitCode.RETRIES_SPENT, f"{policy.max_retries} retries without progress are spent")
    # Two budgets run side by side; the one that ends first is told.
    retries_left, retries = min((policy.max_retries - len(kinds), policy.max_retries), (limit - same, limit))
    return Restart(backoff_s(policy, failure.kind, len(ledger), jitter), max(0, retries_left), retries)


def since_progress(history: Sequence[PastFailure]) -> list[PastFailure]:
    """The failures since the last committed sample, oldest first."""
    for at in range(len(history) - 1, -1, -1):
        if history[at].progressed:
            return list(history[at:])
    return list(history)


def backoff_s(policy: Policy, kind: FailureKind, failures: int, jitter: float) -> float:
    """Exponential backoff with full jitter: uniform in [0, min(cap, base * 2^(n-1))] for the n-th failure in a row.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    base_s = policy.retry_delay_s
    if base_s is None:
        base_s = 10.0 if kind in _SLOW_KINDS else 1.0
    doublings = min(max(failures - 1, 0), 32)
    return jitter * min(policy.delay_cap_s, base_s * 2.0**doublings)
