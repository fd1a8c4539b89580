"""Whether to try again, and when. Pure: history in, decision out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from supervisor.duration import duration
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind

# Restarts per kind since the last progress; a kind that is not listed is bounded by max_retries alone.
# A kind without a limit is not held against anybody: it counts for no budget.
DEFAULT_KIND_RETRIES: Mapping[FailureKind, float] = MappingProxyType(
    {
        FailureKind.USAGE: 0,
        FailureKind.ABORT: 3,
        FailureKind.BUS: 2,
        FailureKind.ILLEGAL_INSTRUCTION: 1,
        FailureKind.FPE: 1,
        FailureKind.HOST_OOM: 3,
        FailureKind.SIGKILL: 3,
        FailureKind.SIGNAL: 3,
        FailureKind.CUDA_OOM: 3,
        FailureKind.CUDA_FAULT: 3,
        FailureKind.GPU_OCCUPIED: 5,
        FailureKind.HARDWARE: 0,
        FailureKind.NCCL: 3,
        FailureKind.PREEMPTION: math.inf,
        FailureKind.TIMEOUT: 2,
        FailureKind.HANG: 3,
        FailureKind.POISON: 2,
        FailureKind.TRANSIENT: 3,
        FailureKind.STORAGE: 0,
        FailureKind.LOCK_HELD: 0,
        FailureKind.DO_NOT_REQUEUE: 0,
        FailureKind.UNKNOWN: 3,
    }
)
# The same error at the same place without progress: an exception that nobody knows will not go away by itself.
_SAME_CRASH_LIMIT: Mapping[FailureKind, int] = MappingProxyType({FailureKind.UNKNOWN: 2})
# Memory, GPUs and services need time to come back.
_SLOW_KINDS = frozenset(
    {
        FailureKind.HOST_OOM,
        FailureKind.SIGKILL,
        FailureKind.CUDA_OOM,
        FailureKind.GPU_OCCUPIED,
        FailureKind.TRANSIENT,
    }
)
_GIVE_UP_CODES = {
    FailureKind.USAGE: ExitCode.CONFIGURATION,
    FailureKind.STORAGE: ExitCode.STORAGE,
    FailureKind.LOCK_HELD: ExitCode.LOCK_HELD,
    FailureKind.HARDWARE: ExitCode.BAD_HARDWARE,
    FailureKind.DO_NOT_REQUEUE: ExitCode.DO_NOT_REQUEUE,
}


@dataclass(frozen=True)
class Policy:
    """How patient to be. Delays are in seconds; `retry_delay_s` None means 1, or 10 where something has to recover.

    `max_restarts_total` caps all restarts, progress or not; `same_crash_limit` the deaths with one fingerprint.
    `kind_retries` replaces the defaults of the kinds that it names; math.inf is without limit.
    """

    max_retries: int = 10
    retry_delay_s: float | None = None
    delay_cap_s: float = 300.0
    max_restarts_total: int | None = None
    same_crash_limit: int | None = None
    kind_retries: Mapping[FailureKind, float] = field(default_factory=dict)

    def limit(self, kind: FailureKind) -> float:
        """How many restarts without progress a kind is allowed, before `max_retries` is looked at."""
        return self.kind_retries.get(kind, DEFAULT_KIND_RETRIES.get(kind, self.max_retries))


@dataclass(frozen=True)
class PastFailure:
    """One failed attempt, as the policy sees it: its kind, whether it had committed new samples, its fingerprint."""

    kind: FailureKind
    progressed: bool
    fingerprint: str = ""


@dataclass(frozen=True)
class Window:
    """The time there is: `left_s` until the deadline (None without one), of which a start takes `startup_s`."""

    left_s: float | None = None
    startup_s: float = 0.0


@dataclass(frozen=True)
class Restart:
    """Try again after `delay_s` seconds, by this rule; of `retries`, `retries_left` are then left without progress."""

    delay_s: float
    retries_left: float
    retries: float
    rule: str = ""


@dataclass(frozen=True)
class GiveUp:
    """Stop here, with this exit code, because of this rule."""

    exit_code: ExitCode
    rule: str


_NO_DEADLINE = Window()


def decide(
    history: Sequence[PastFailure], failure: Failure, policy: Policy, jitter: float, window: Window = _NO_DEADLINE
) -> Restart | GiveUp:
    """Decide what follows the last failure of `history`, which is `failure`; `jitter` is uniform in [0, 1).

    Only committed samples renew the budgets: what counts is the failures since the last attempt that made progress,
    that one's own included. A kind without a limit, as pre-emption is, never counts.
    """
    ledger = since_progress(history)
    decision = _refused(ledger, failure, policy)
    if decision is None and policy.max_restarts_total is not None and len(history) > policy.max_restarts_total:
        decision = GiveUp(
            ExitCode.RETRIES_SPENT, f"all of the {policy.max_restarts_total} restarts there were are spent"
        )
    if decision is not None:
        return decision
    retries_left, retries, rule = _budget(ledger, failure.kind, policy)
    delay_s = backoff_s(policy, failure.kind, len(ledger), jitter)
    if window.left_s is not None and delay_s + window.startup_s >= window.left_s:
        needed = duration(delay_s + window.startup_s)
        return GiveUp(
            ExitCode.REQUEUE,
            f"{duration(max(0.0, window.left_s))} are left, and another attempt needs {needed} to start",
        )
    return Restart(delay_s, retries_left, retries, rule)


def _refused(ledger: Sequence[PastFailure], failure: Failure, policy: Policy) -> GiveUp | None:
    """The budget that is spent, if one is."""
    kind, limit = failure.kind, policy.limit(failure.kind)
    if limit == math.inf:
        return None
    same_kind = sum(past.kind is kind for past in ledger)
    if same_kind > limit:
        allowed = "is not retried" if limit == 0 else f"is retried at most {limit:g} times without progress"
        return GiveUp(_GIVE_UP_CODES.get(kind, ExitCode.RETRIES_SPENT), f"{kind} {allowed}")
    same_limit = policy.same_crash_limit or _SAME_CRASH_LIMIT.get(kind)
    same_crash = sum(past.fingerprint == failure.fingerprint for past in ledger)
    if failure.fingerprint and same_limit is not None and same_crash >= same_limit:
        return GiveUp(
            ExitCode.RETRIES_SPENT, f"the same crash {same_crash} times without progress: {failure.fingerprint}"
        )
    if _counted(ledger, policy) > policy.max_retries:
        return GiveUp(ExitCode.RETRIES_SPENT, f"{policy.max_retries} retries without progress are spent")
    return None


def _budget(ledger: Sequence[PastFailure], kind: FailureKind, policy: Policy) -> tuple[float, float, str]:
    """What is left, of how much, and whose budget that is: two run side by side, the one that ends first is told."""
    limit = policy.limit(kind)
    if limit == math.inf:
        return math.inf, math.inf, f"a {kind} costs no retry"
    spent, same_kind = _counted(ledger, policy), sum(past.kind is kind for past in ledger)
    overall = (policy.max_retries - spent, policy.max_retries, "since the last progress")
    return min(overall, (limit - same_kind, limit, f"{kind}, since the last progress"), key=lambda budget: budget[:2])


def _counted(ledger: Sequence[PastFailure], policy: Policy) -> int:
    return sum(policy.limit(past.kind) != math.inf for past in ledger)


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
