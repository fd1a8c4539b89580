"""Is the child alive? Signs of life in, the longest silence it is allowed out. Pure.

A sign of life is an sd_notify datagram, or from a child that sends none, output. It does not prove progress.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_GAPS_TO_CALIBRATE = 10
_CALIBRATED_FACTOR = 10.0
_CALIBRATED_FLOOR_S = 120.0
STARTUP_FACTOR = 10.0


@dataclass(frozen=True)
class Patience:
    """What the user allows, in seconds; None is not set.

    `timeout_s` is for a whole attempt, `stall_s` for a silence once the child is ready, `startup_s` for the time until
    then. Unless `enabled`, no silence is ever called a hang.
    """

    timeout_s: float | None = None
    stall_s: float | None = None
    startup_s: float | None = None
    enabled: bool = True


@dataclass(frozen=True)
class Rhythm:
    """What was seen of the silences between a ready child's signs of life, over all attempts."""

    gaps: int = 0
    longest_gap_s: float = 0.0

    def heard(self, gap_s: float) -> Rhythm:
        """The rhythm after one more silence."""
        return Rhythm(self.gaps + 1, max(self.longest_gap_s, gap_s))

    @property
    def stall_s(self) -> float | None:
        """Ten times the longest silence seen, two minutes at least; None before ten silences were seen."""
        if self.gaps < _GAPS_TO_CALIBRATE:
            return None
        return max(_CALIBRATED_FLOOR_S, _CALIBRATED_FACTOR * self.longest_gap_s)


@dataclass(frozen=True)
class Pulse:
    """One attempt's signs of life; times are on the attempt's clock."""

    started_s: float
    last_s: float
    rhythm: Rhythm = Rhythm()
    ready: bool = False
    extended_until_s: float = 0.0

    def beat(self, now_s: float, *, ready: bool = False) -> Pulse:
        """After a sign of life; the first one that says `ready` ends the start-up."""
        rhythm = self.rhythm.heard(now_s - self.last_s) if self.ready else self.rhythm
        return replace(self, last_s=now_s, rhythm=rhythm, ready=self.ready or ready)

    def extended(self, now_s: float, allowance_s: float) -> Pulse:
        """After the child asked for time (EXTEND_TIMEOUT_USEC)."""
        return replace(self, last_s=now_s, extended_until_s=now_s + allowance_s)

    def hang_due_s(self, patience: Patience, *, speaks: bool) -> tuple[float, str] | None:
        """When silence becomes a hang, and in what words; None: never.

        Calibrated only for a child that `speaks` sd_notify: nothing is known about the output of any other.
        """
        if not patience.enabled:
            return None
        stall_s = patience.stall_s
        if stall_s is None and speaks:
            stall_s = self.rhythm.stall_s
        if self.ready:
            allowed_s, when = stall_s, "no sign of life"
        else:
            allowed_s, when = patience.startup_s, "still not ready"
            if allowed_s is None and patience.stall_s is not None:
                allowed_s = STARTUP_FACTOR * patience.stall_s
        if allowed_s is None:
            return None
        return max(self.last_s + allowed_s if self.ready else self.started_s + allowed_s, self.extended_until_s), (
            f"{when} for {allowed_s:g} s"
        )
