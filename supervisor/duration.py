"""Stretches of time as people write them."""

from __future__ import annotations

import math
import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|min|s|m|h|d|)")


def seconds(text: str) -> float:
    """`90`, `90s`, `1h30m`, `2.5d` in seconds. Raises ValueError.

    >>> seconds("1h30m")
    5400.0
    """
    text = text.strip().lower()
    if not text or _PART.sub("", text):
        raise ValueError(f"{text!r} is not a duration: write 90, 90s, 15m, 1h30m or 2d")
    total = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    if not math.isfinite(total):
        raise ValueError(f"{text!r} is too long")
    return total


def duration(seconds: float) -> str:
    """`4.2s`, `3m07s`, `2h05m`.

    >>> duration(187)
    '3m07s'
    """
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
