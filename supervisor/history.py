"""What has happened in a supervision, as far as later decisions, the display and the ledger need it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from supervisor.attempt import Ended
from supervisor.chaos import Strike
from supervisor.classify import Verdict
from supervisor.failure import Failure
from supervisor.ledger import Span
from supervisor.policy import PastFailure, Policy, Restart
from supervisor.progress import Progress
from supervisor.pulse import Rhythm
from supervisor.view import Segment, View


@dataclass
class History:
    """Grows by one attempt at a time."""

    failures: list[PastFailure] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    rhythm: Rhythm = field(default_factory=Rhythm)
    last_kind: str = ""
    last_because: str = ""
    last_code: int = 0
    startup_s: float = 0.0
    budget: str = ""

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return len(self.spans)

    def add(self, ended: Ended, verdict: Verdict) -> None:
        """One more attempt is over."""
        times, status = ended.times, ended.evidence.status
        kind = verdict.kind if isinstance(verdict, Failure) else None
        working_s = times.ready_s
        self.spans.append(Span(kind, times.started_s, times.ended_s, working_s, times.first_new_s, times.last_commit_s))
        if working_s is not None:
            self.startup_s = max(self.startup_s, working_s - times.started_s)
        self.progress, self.rhythm = ended.progress.restarted(), ended.rhythm
        self.last_code = status.code if status.code is not None else 128 + (status.signal or 0)
        if ended.struck:
            self.strikes.append(ended.struck)
        if isinstance(verdict, Failure):
            self.failures.append(PastFailure(verdict.kind, ended.evidence.progressed, verdict.fingerprint))
            self.last_kind, self.last_because = verdict.kind, verdict.because

    def decided(self, restart: Restart) -> None:
        """What the budget is now."""
        self.budget = budget_text(restart)

    def view(self, name: str, policy: Policy, now_s: float, started_s: float, waiting: str = "") -> View:
        """How things stand."""
        timeline = [Segment(span.kind, span.ended_s - span.started_s) for span in self.spans]
        failed = [number for number, span in enumerate(self.spans, 1) if span.kind is not None]
        last = f"{self.last_kind} ({self.last_because}) in attempt {failed[-1]}" if failed else ""
        return View(
            name=name,
            attempt=self.attempts + (0 if waiting else 1),
            budget=self.budget or f"{policy.max_retries} of {policy.max_retries} retries left",
            progress=self.progress,
            elapsed_s=now_s - started_s,
            last_failure=last,
            timeline=tuple(timeline),
            waiting=waiting,
        )

    def harms(self) -> dict[str, int]:
        """What chaos has done, by name."""
        return dict(Counter(strike.harm.value for strike in self.strikes))


def budget_text(restart: Restart) -> str:
    """`2 of 3 retries left (sigkill, since the last progress)`."""
    if restart.retries == math.inf:
        return restart.rule
    return f"{restart.retries_left:g} of {restart.retries:g} retries left ({restart.rule})"
