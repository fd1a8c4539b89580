"""The ways down for a child: what to send, to whom, when. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto

from supervisor.signals import KEYBOARD

GROUP_BEFORE_END_S = 5.0
ABORT_AFTER_S = 5.0
ABORT_GRACE_S = 10.0


class Target(Enum):
    """Whom a step is for."""

    LEADER = auto()
    GROUP = auto()
    STACKS = auto()  # nobody: the stacks are written down


@dataclass(frozen=True)
class Step:
    """Send `signal` to `target`, `after_s` seconds after the request."""

    after_s: float
    signal: signal.Signals | None
    target: Target


def ladder(first: signal.Signals, grace_s: float) -> tuple[Step, ...]:
    """What the keyboard sends goes to the whole group, as a terminal would send it. Anything else goes to the leader
    first: a SIGTERM to the group would kill its helpers in the middle of saving their work.

    The group hears of it five seconds before the grace ends (halfway, if the grace is short), and is killed
    at its end.
    """
    group_after_s = max(grace_s - GROUP_BEFORE_END_S, grace_s / 2)
    return (
        Step(0.0, first, Target.GROUP if first in KEYBOARD else Target.LEADER),
        Step(group_after_s, signal.SIGTERM, Target.GROUP),
        Step(grace_s, signal.SIGKILL, Target.GROUP),
    )


def hang_ladder() -> tuple[Step, ...]:
    """For a child that hangs: its stacks first, since nobody will see them again.

    SIGABRT makes faulthandler dump even inside a long call into C, where no handler written in Python would run.
    """
    return (
        Step(0.0, signal.SIGCONT, Target.GROUP),
        Step(0.0, None, Target.STACKS),
        Step(ABORT_AFTER_S, signal.SIGABRT, Target.GROUP),
        Step(ABORT_AFTER_S + ABORT_GRACE_S, signal.SIGKILL, Target.GROUP),
    )
