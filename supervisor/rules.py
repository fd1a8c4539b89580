"""What a user adds to the knowledge of how children fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor.failure import FailureKind
from supervisor.patterns import Pattern


@dataclass(frozen=True)
class Rules:
    """`codes` says what exit codes mean; `patterns` are looked for in the last words before our own."""

    codes: Mapping[int, FailureKind] = field(default_factory=dict)
    patterns: tuple[Pattern, ...] = ()
