"""A journal, read back: supervisions, their attempts, and what another policy would have decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supervisor.failure import Failure, FailureKind
from supervisor.policy import GiveUp, PastFailure, Policy, Restart, Window, decide

Event = Mapping[str, Any]
_DECISIONS = ("restart", "gave_up")


@dataclass
class AttemptAccount:
    """One attempt: the event of its end (None while it runs, or when nobody was there to see it), what was decided."""

    number: int
    started_at: float
    ended: Event | None = None
    decision: Event | None = None
    happened: list[Event] = field(default_factory=list)

    @property
    def kind(self) -> FailureKind | None:
        """How it failed; None if it did not, or in a way that this version does not know."""
        try:
            return FailureKind(str(self.ended["kind"])) if self.ended and "kind" in self.ended else None
        except ValueError:
            return None


@dataclass
class Account:
    """One supervision, from its start on."""

    supervise_id: str
    started: Event
    attempts: list[AttemptAccount] = field(default_factory=list)
    finished: Event | None = None
    last: Event = field(default_factory=dict)
    progress: Event | None = None


def accounts(events: Iterable[Event]) -> list[Account]:
    """The supervisions of a journal, oldest first. What is not understood is passed over."""
    found: dict[str, Account] = {}
    for event in events:
        own_id, name = str(event.get("supervise_id")), event.get("event")
        if name == "supervise_started":
            found[own_id] = Account(own_id, event)
        account = found.get(own_id)
        if account is None:
            continue
        account.last = event
        if name == "supervise_finished":
            account.finished = event
        elif name == "attempt_starting":
            account.attempts.append(AttemptAccount(int(event.get("attempt", 0)), float(event.get("time", 0))))
        elif account.attempts:
            _note(account, account.attempts[-1], event)
    return list(found.values())


def _note(account: Account, attempt: AttemptAccount, event: Event) -> None:
    name = event.get("event")
    if name == "attempt_ended":
        attempt.ended = event
    elif name in _DECISIONS:
        attempt.decision = event
    elif name != "attempt_started":
        attempt.happened.append(event)
    if event.get("done") is not None:
        account.progress = event


@dataclass(frozen=True)
class Replayed:
    """What a policy decides after one recorded failure."""

    attempt: int
    kind: FailureKind
    decision: Restart | GiveUp


def replay(attempts: Sequence[AttemptAccount], policy: Policy) -> Iterator[Replayed]:
    """Play the recorded failures to a policy, until it gives up. Delays are their means: half of the longest."""
    history: list[PastFailure] = []
    for attempt in attempts:
        if attempt.ended is None or attempt.kind is None:
            continue
        mark = str(attempt.ended.get("fingerprint") or "")
        history.append(PastFailure(attempt.kind, bool(attempt.ended.get("progressed")), mark))
        failure = Failure(attempt.kind, str(attempt.ended.get("because", "")), fingerprint=mark)
        recorded = attempt.decision or {}
        window = Window(recorded.get("left_s"), float(recorded.get("startup_s") or 0.0))
        decision = decide(history, failure, policy, 0.5, window)
        yield Replayed(attempt.number, attempt.kind, decision)
        if isinstance(decision, GiveUp):
            return
