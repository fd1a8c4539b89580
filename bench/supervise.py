"""The supervisor's bench: `python -m bench.supervise [--quick] [--json FILE] [--dir DIR] [restart quiet talker soak]`.

- restart: from a death to the next start, beside a bash loop, torchrun and supervisord
- quiet: what it costs beside a child that says nothing
- talker: a child that prints a gigabyte
- soak: five hundred deaths of random kinds in one supervision

Exit status 1 when a promise is broken (a byte of the log lost, a zombie left, a descriptor leaked), 2 when the bench
could not be run, else 0: a missed target is printed as missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import restarts, upkeep
from bench.figures import Outcome
from bench.suite import Suite, run


@dataclass(frozen=True)
class Scale:
    """How much each part measures."""

    restart: restarts.Sizes
    upkeep: upkeep.Sizes


SCALES = {
    "full": Scale(restarts.Sizes(deaths=50), upkeep.Sizes(quiet_s=30.0, mebibytes=1024, restarts=500)),
    "quick": Scale(restarts.Sizes(deaths=20), upkeep.Sizes(quiet_s=5.0, mebibytes=100, restarts=60)),
    "smoke": Scale(restarts.Sizes(deaths=3), upkeep.Sizes(quiet_s=1.0, mebibytes=2, restarts=12)),
}
PARTS: dict[str, Callable[[Path, Scale], Outcome]] = {
    "restart": lambda folder, scale: restarts.measure(folder, scale.restart),
    "quiet": lambda folder, scale: upkeep.measure_quiet(folder, scale.upkeep),
    "talker": lambda folder, scale: upkeep.measure_talker(folder, scale.upkeep),
    "soak": lambda folder, scale: upkeep.measure_soak(folder, scale.upkeep),
}
SUITE = Suite("supervise", "The supervisor", __doc__, PARTS, SCALES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; the exit status."""
    return run(SUITE, arguments)


if __name__ == "__main__":
    sys.exit(main())
