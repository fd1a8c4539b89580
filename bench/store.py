"""The store's bench: `python -m bench.store [--quick] [--json FILE] [--dir DIR] [record resume peers kills]`.

- record: what record() costs against the bare system calls, in each durability mode, and after a million records
- resume: what coming back to a run of ten million records costs, in time and memory
- peers: the same results in other stores
- kills: a thousand SIGKILLs

Ratios are of things that ran in turns, in the same seconds: trust those, and the microseconds on a quiet machine
only. Exit status 1 when a promise is broken (a record lost, counted twice or miscounted), 2 when the bench could not
be run, else 0: a missed target is printed as missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import kills, peers, record_cost, resume
from bench.figures import Outcome
from bench.suite import Suite, run
from checkpoints import CheckpointError


@dataclass(frozen=True)
class Scale:
    """How much each part measures."""

    record: record_cost.Sizes
    resume: resume.Sizes
    peers: peers.Sizes
    kills: kills.Sizes


SCALES = {
    "full": Scale(
        record_cost.Sizes(rounds=15, block=20_000, syncs=50, long_run=1_000_000),
        resume.Sizes(records=10_000_000, scans=2, opens=5, work_s=2.0),
        peers.Sizes(results=(1_000, 10_000, 100_000), rounds=9, resumes=3, synced_block=32, block=512),
        kills.Sizes(kills=1_000),
    ),
    "quick": Scale(
        record_cost.Sizes(rounds=7, block=5_000, syncs=10, long_run=200_000),
        resume.Sizes(records=1_000_000, scans=1, opens=3, work_s=0.5),
        peers.Sizes(results=(1_000, 10_000), rounds=5, resumes=3, synced_block=16, block=256),
        kills.Sizes(kills=100),
    ),
    "smoke": Scale(
        record_cost.Sizes(rounds=2, block=200, syncs=2, long_run=1_000),
        resume.Sizes(records=5_000, scans=1, opens=1, work_s=0.05),
        peers.Sizes(results=(100,), rounds=2, resumes=1, synced_block=2, block=64),
        kills.Sizes(kills=4),
    ),
}
PARTS: dict[str, Callable[[Path, Scale], Outcome]] = {
    "record": lambda folder, scale: record_cost.measure(folder, scale.record),
    "resume": lambda folder, scale: resume.measure(folder, scale.resume),
    "peers": lambda folder, scale: peers.measure(folder, scale.peers),
    "kills": lambda folder, scale: kills.measure(folder, scale.kills),
}


SUITE = Suite("store", "The store", __doc__, PARTS, SCALES, (CheckpointError,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; the exit status."""
    return run(SUITE, arguments)


if __name__ == "__main__":
    sys.exit(main())
