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

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import kills, peers, record_cost, resume
from bench.figures import Outcome
from bench.machine import describe_machine
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for, print each as it is done; the exit status."""
    options = _parser().parse_args(arguments)
    scale = "quick" if options.quick else options.scale
    machine = describe_machine(options.dir)
    print(f"# The store ({scale})\n" + ", ".join(f"{name.replace('_', ' ')}: {each}" for name, each in machine.items()))
    try:
        outcomes = {part: run_part(part, options.dir, SCALES[scale]) for part in options.parts or PARTS}
        if options.json:
            options.json.write_text(json.dumps(as_json(machine, scale, outcomes), indent=2) + "\n")
    except (OSError, RuntimeError, CheckpointError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 1 if any(outcome.broken for outcome in outcomes.values()) else 0


def run_part(part: str, directory: Path, scale: Scale) -> Outcome:
    """Run one part in a temporary folder, and print what it found."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=directory) as folder:
        outcome = PARTS[part](Path(folder), scale)
    print(f"\n## {part}\n\n{outcome.text()}\n\n({time.monotonic() - begun_s:.0f} s)", flush=True)
    return outcome


def as_json(machine: Mapping[str, Any], scale: str, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Everything found, for programs."""
    return {
        "machine": dict(machine),
        "scale": scale,
        "parts": {
            part: {
                "figures": [
                    {**asdict(figure), "target": str(figure.target or ""), "met": figure.met}
                    for figure in outcome.figures
                ],
                "broken": list(outcome.broken),
            }
            for part, outcome in outcomes.items()
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)}; or all")
    parser.add_argument("--quick", action="store_true", help="about a minute, for CI")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much is measured (default: full)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIR", help="write to a temporary folder in there (default: here)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
