"""What has to be done to a running child, and when: signals, time limits and chaos, as one state machine.

It sends nothing itself. It is told what happened, and hands out steps.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Protocol

from supervisor.chaos import Harm, Strike
from supervisor.duration import duration
from supervisor.evidence import Ending, StopReason
from supervisor.pulse import Patience, Pulse, Rhythm
from supervisor.signals import KEYBOARD, WARNINGS
from supervisor.stopping import Step, Target, hang_ladder, ladder

_INTERRUPTS_BEFORE_GROUP, _INTERRUPTS_BEFORE_KILL = 2, 3
_STOPPED_S = 30.0


class Tell(Protocol):
    """Says something to the user, and writes the event to the journal."""

    def __call__(self, text: str, style: str, event: str, **facts: object) -> None:
        """`event` and `facts` are the journal's; an empty event is not written."""


@dataclass(frozen=True)
class Limits:
    """What bounds one attempt; `deadline_s` is on its clock."""

    grace_s: float = 30.0
    patience: Patience = field(default_factory=Patience)
    deadline_s: float | None = None
    strike: Strike | None = None


class Watchdog:
    """Watches one attempt. `now_s` is always the present on the attempt's clock."""

    def __init__(self, limits: Limits, now_s: float, tell: Tell, rhythm: Rhythm) -> None:
        self._limits, self._tell = limits, tell
        self._started_s = now_s
        self._strike_from_s: float | None = now_s
        self._said_ready = False
        self._steps: list[Step] = []
        self._asked_s = 0.0
        self._interrupts = 0
        self._stopped_since_s: float | None = None
        self.pulse = Pulse(now_s, now_s, rhythm)
        self.speaks = False
        self.stop: StopReason | None = None
        self.ending: Ending | None = None
        self.ending_detail = ""
        self.struck: Strike | None = None
        self.told_to_go = False

    @property
    def in_peace(self) -> bool:
        """Whether nothing has been asked of the child."""
        return self.stop is None and self.ending is None

    def notified(self, now_s: float, *, ready: bool, progress: bool, allowance_s: float | None) -> None:
        """The child has spoken sd_notify; `progress` is whether it has committed new samples."""
        if not self.speaks and not ready:
            self._strike_from_s = None  # it speaks, so it will say when it is at work
        if ready and not self._said_ready:
            self._said_ready, self._strike_from_s = True, now_s
        self.speaks = True
        self.pulse = self.pulse.beat(now_s, ready=ready or progress)
        if allowance_s is not None:
            self.pulse = self.pulse.extended(now_s, allowance_s)

    def output(self, now_s: float) -> None:
        """The child has printed something: a sign of life from one that has no better."""
        if not self.speaks:
            self.pulse = self.pulse.beat(now_s, ready=True)

    def on_signal(self, number: int, now_s: float) -> list[Step]:
        """We were sent a signal that concerns the child."""
        steps: list[Step] = []
        if number == signal.SIGINT:
            self._interrupts += 1
        if self._interrupts == _INTERRUPTS_BEFORE_GROUP:
            steps.append(Step(0.0, signal.SIGTERM, Target.GROUP))
        elif self._interrupts >= _INTERRUPTS_BEFORE_KILL:
            steps.append(Step(0.0, signal.SIGKILL, Target.GROUP))
        if number in WARNINGS:
            # Slurm's way of saying that the time is nearly up: passed on, and no restart follows.
            self.stop = self.stop or StopReason.WARNED
            return [*steps, Step(0.0, signal.Signals(number), Target.LEADER)]
        if self.stop in {None, StopReason.WARNED, StopReason.DEADLINE}:
            self._ask(StopReason.USER if number in KEYBOARD else StopReason.DRAIN, signal.Signals(number), now_s)
            more = "; SIGINT again sends SIGTERM, a third one SIGKILL" if number == signal.SIGINT else ""
            name = signal.Signals(number).name
            self._tell(f"{name}: the child has {self._limits.grace_s:g} s to end{more}", "warn", "")
        return steps

    def due_s(self) -> float | None:
        """When act() has something to do; None: not in sight."""
        due = [self._asked_s + step.after_s for step in self._steps[:1]]
        if self.in_peace:
            due += [at for at, _ in self._endings()]
            if self._limits.deadline_s is not None:
                due.append(self._limits.deadline_s - self._limits.grace_s)
            if (strike_s := self._strike_s()) is not None:
                due.append(strike_s)
        return min(due, default=None)

    def look(self, now_s: float, *, stopped: bool) -> list[Step]:
        """Once in a while: a child that somebody stopped (SIGSTOP) is woken, since it cannot die of waiting."""
        if not stopped:
            self._stopped_since_s = None
            return []
        if self._stopped_since_s is None:
            self._stopped_since_s = now_s
        patience_s = self._limits.patience.stall_s
        if now_s - self._stopped_since_s < (_STOPPED_S if patience_s is None else patience_s):
            return []
        return self._wake(now_s)

    def act(self, now_s: float, *, stopped: bool) -> list[Step]:
        """The steps that are due."""
        if not self._steps and self.in_peace and (at_once := self._begin(now_s, stopped=stopped)):
            return at_once
        due = [step for step in self._steps if self._asked_s + step.after_s <= now_s]
        self._steps = self._steps[len(due) :]
        return due

    def _begin(self, now_s: float, *, stopped: bool) -> list[Step]:
        """Ask the child to end, if it is time to; the steps of that are still to come. Else what is done at once."""
        for at_s, ending in self._endings():
            if at_s <= now_s and ending is Ending.HANG and stopped:
                return self._wake(now_s)
            if at_s <= now_s:
                self._end(ending, now_s)
                return []
        deadline_s, strike = self._limits.deadline_s, self._limits.strike
        if deadline_s is not None and deadline_s - self._limits.grace_s <= now_s:
            self._ask(StopReason.DEADLINE, signal.SIGTERM, now_s)
            self._tell(f"the deadline is near: the child has {self._limits.grace_s:g} s to end", "warn", "deadline")
            return []
        strike_s = self._strike_s()
        if strike is None or strike_s is None or strike_s > now_s:
            return []
        self.struck = strike
        self.told_to_go = strike.harm is Harm.TERM
        self._tell(f"chaos: {strike.harm.signal.name} to the child", "warn", "chaos", harm=strike.harm.value)
        return [Step(0.0, strike.harm.signal, Target.LEADER)]

    def _strike_s(self) -> float | None:
        """When chaos strikes; None: not, or not yet known."""
        strike = self._limits.strike
        if strike is None or self.struck or self._strike_from_s is None:
            return None
        return self._strike_from_s + strike.delay_s

    def _endings(self) -> list[tuple[float, Ending]]:
        patience = self._limits.patience
        found = []
        if patience.timeout_s is not None:
            found.append((self._started_s + patience.timeout_s, Ending.TIMEOUT))
        if (hang := self.pulse.hang_due_s(patience, speaks=self.speaks)) is not None:
            found.append((hang[0], Ending.HANG))
        return found

    def _end(self, ending: Ending, now_s: float) -> None:
        self.ending, self._asked_s = ending, now_s
        if ending is Ending.TIMEOUT:
            self.ending_detail = f"not done after {duration(now_s - self._started_s)}, which is its --timeout"
            self._steps = list(ladder(signal.SIGTERM, self._limits.grace_s))
        else:
            hang = self.pulse.hang_due_s(self._limits.patience, speaks=self.speaks)
            self.ending_detail = hang[1] if hang else "no sign of life"
            self._steps = list(hang_ladder())
        self._tell(f"{ending}: {self.ending_detail}", "bad", ending.value, detail=self.ending_detail)

    def _ask(self, reason: StopReason, first: signal.Signals, now_s: float) -> None:
        self.stop, self._asked_s = reason, now_s
        self._steps = list(ladder(first, self._limits.grace_s))

    def _wake(self, now_s: float) -> list[Step]:
        self._stopped_since_s = None
        self.pulse = self.pulse.beat(now_s)
        self._tell("the child was stopped (SIGSTOP) by somebody; it may go on", "warn", "woken")
        return [Step(0.0, signal.SIGCONT, Target.GROUP)]
