"""The way down for a child that was asked to end: what to send, to whom, when. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from supervisor.signals import KEYBOARD

GROUP_BEFORE_END_S = 5.0


@dataclass(frozen=True)
class Step:
    """Send `signal` `after_s` seconds after the request: to the leader, or to the whole group."""

    after_s: float
    signal: signal.Signals
    to_group: bool


def ladder(first: signal.Signals, grace_s: float) -> tuple[Step, ...]:
    """What the keyboard sends goes to the whole group, as a terminal would send it. Anything else goes to the leader
    first: a SIGTERM to the group would kill its helpers in the middle of saving their work.

    The group hears of it five seconds before the grace ends (halfway, if the grace is short), and is killed
    at its end.
    """
    group_after_s = max(grace_s - GROUP_BEFORE_END_S, grace_s / 2)
    return (
        Step(0.0, first, to_group=first in KEYBOARD),
        Step(group_after_s, signal.SIGTERM, to_group=True),
        Step(grace_s, signal.SIGKILL, to_group=True),
    )
