"""A supervision in words: each death, why we think so, what was decided, and by which rule. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from supervisor.account import Account, AttemptAccount, Replayed
from supervisor.display import plain
from supervisor.duration import duration
from supervisor.history import budget_text
from supervisor.policy import GiveUp

_HAPPENED = {
    "chaos": "chaos: {harm}",
    "signal_received": "received {signal}",
    "timeout": "timeout: {detail}",
    "hang": "hang: {detail}",
    "woken": "was stopped by somebody, and woken",
    "deadline": "the deadline was near",
}


def explain(account: Account, folder: str) -> Iterator[str]:
    """The lines that tell of one supervision."""
    command = " ".join(map(str, account.started.get("command", [])))
    yield plain(f"{_when(account.started.get('time'))}  {command}")
    for attempt in account.attempts:
        yield ""
        yield from _attempt(attempt, folder)
    yield ""
    yield from _end(account)


def _attempt(attempt: AttemptAccount, folder: str) -> Iterator[str]:
    ended = attempt.ended
    yield f"attempt {attempt.number}  started {_when(attempt.started_at)}"
    for event in attempt.happened:
        if text := _HAPPENED.get(str(event.get("event"))):
            yield plain(f"  {_when(event.get('time'))}  {text.format_map(_Facts(event))}")
    if ended is None:
        yield "  no end is recorded: it runs, or its supervisor was killed"
        return
    took = duration(float(ended.get("duration_s") or 0.0))
    if "kind" not in ended:
        reason = f": {ended['reason']}" if ended.get("reason") else ""
        yield plain(f"  {ended.get('verdict')}{reason} after {took}")
        return
    yield plain(f"  {ended['kind']} after {took}: {ended.get('because')}")
    for fact in ended.get("chain", []):
        yield plain(f"    - {fact}")
    if ended.get("fingerprint"):
        yield plain(f"    crash: {ended['fingerprint']}")
    if ended.get("hint"):
        yield plain(f"    hint: {ended['hint']}")
    if peak := ended.get("memory_peak_bytes"):
        yield f"    memory: {peak / 2**20:,.0f} MiB at most"
    if ended.get("core"):
        yield plain(f"    core: {ended['core']}")
    yield f"    files: {folder}/attempt-{attempt.number:04d}/"
    yield plain(f"  {_decision(attempt)}")


def _decision(attempt: AttemptAccount) -> str:
    decision = attempt.decision
    if decision is None:
        return "nothing was decided: the supervisor was stopped or killed"
    if decision.get("event") == "gave_up":
        return f"gave up: {decision.get('rule')} (exit code {decision.get('exit_code')})"
    left = decision.get("retries_left")
    budget = f", {left:g} retries left" if isinstance(left, int | float) else ""
    return f"restarted after {duration(float(decision.get('delay_s') or 0))}{budget}: {decision.get('rule')}"


def _end(account: Account) -> Iterator[str]:
    finished = account.finished
    if finished is None:
        yield "not finished: it runs, or its supervisor was killed"
        return
    yield f"finished {_when(finished.get('time'))} with exit code {finished.get('exit_code')}"
    kinds: dict[str, Any] = finished.get("failures") or {}
    if kinds:
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield plain(f"{finished.get('attempts')} attempts; failures: {counted}")
    if kinds and finished.get("lost_s") is not None:
        share = float(finished.get("useful_share") or 0.0)
        lost, total = duration(float(finished["lost_s"])), duration(float(finished["total_s"]))
        yield f"{lost} lost of {total}, {share:.0%} useful"
    if times := finished.get("recovery_s"):
        yield "from a death to the next new sample: " + ", ".join(duration(float(seconds)) for seconds in times)


def explain_replay(attempts: Sequence[AttemptAccount], replayed: Sequence[Replayed]) -> Iterator[str]:
    """What another policy would have decided, beside what was."""
    taken = {attempt.number: attempt for attempt in attempts}
    for each in replayed:
        decision = each.decision
        if isinstance(decision, GiveUp):
            would = f"give up: {decision.rule} (exit code {int(decision.exit_code)})"
        else:
            would = f"restart after about {duration(decision.delay_s)}; {budget_text(decision)}"
        yield plain(f"attempt {each.attempt}  {each.kind}")
        yield plain(f"  then: {_decision(taken[each.attempt])}")
        yield plain(f"  this policy: {would}")
    failed = sum(attempt.kind is not None for attempt in attempts)
    if len(replayed) < failed:
        yield f"the other {failed - len(replayed)} failures would not have happened"


def _when(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "?"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


class _Facts(dict[str, Any]):
    """A field that an event lacks is shown as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"
