"""How far the work has come, over all attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from supervisor.notify import Report


@dataclass(frozen=True)
class Progress:
    """`done` is the most committed samples ever reported; None while nothing was. Rates are per attempt."""

    done: int | None = None
    total: int | None = None
    accuracy: float | None = None
    status: str | None = None
    in_flight: str = ""
    _rate_from: tuple[float, int] | None = field(default=None, repr=False)
    _rate_to: tuple[float, int] | None = field(default=None, repr=False)

    def updated(self, report: Report, now_s: float) -> Progress:
        """The progress after a report received at `now_s`, on a clock that never jumps."""
        point = None if report.done is None else (now_s, report.done)
        return replace(
            self,
            done=self.done if report.done is None else max(report.done, self.done or 0),
            total=self.total if report.total is None else report.total,
            accuracy=self.accuracy if report.accuracy is None else report.accuracy,
            status=self.status if report.status is None else report.status,
            in_flight=self.in_flight if report.in_flight is None else report.in_flight,
            _rate_from=self._rate_from or point,
            _rate_to=point or self._rate_to,
        )

    def restarted(self) -> Progress:
        """The same progress at the start of a new attempt."""
        return replace(self, status=None, in_flight="", _rate_from=None, _rate_to=None)

    @property
    def finished(self) -> bool:
        """Whether all samples are reported as committed."""
        return self.done is not None and self.total is not None and self.done >= self.total

    @property
    def rate_per_s(self) -> float | None:
        """Committed samples per second in this attempt; None until two reports differ."""
        if self._rate_from is None or self._rate_to is None:
            return None
        seconds, samples = self._rate_to[0] - self._rate_from[0], self._rate_to[1] - self._rate_from[1]
        return samples / seconds if seconds > 0 and samples > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this attempt's rate."""
        rate = self.rate_per_s
        if rate is None or self.total is None or self.done is None:
            return None
        return max(0, self.total - self.done) / rate
