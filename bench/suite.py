"""What every bench's command line has in common."""

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

from bench.figures import Outcome
from bench.machine import describe_machine


@dataclass(frozen=True)
class Suite:
    """A bench: its module's name, its title, what `--help` says, its parts, and the scales they can be run at.

    `errors` are those that mean that the bench could not be run.
    """

    name: str
    title: str
    about: str | None
    parts: Mapping[str, Callable[[Path, Any], Outcome]]
    scales: Mapping[str, Any]
    errors: tuple[type[Exception], ...] = ()


def run(suite: Suite, arguments: Sequence[str] | None) -> int:
    """Run the parts asked for, print each as it is done; the exit status."""
    options = _parser(suite).parse_args(arguments)
    scale = "quick" if options.quick else options.scale
    machine = describe_machine(options.dir)
    about = ", ".join(f"{name.replace('_', ' ')}: {each}" for name, each in machine.items())
    print(f"# {suite.title} ({scale})\n{about}")
    try:
        parts = options.parts or suite.parts
        outcomes = {part: run_part(suite, part, options.dir, suite.scales[scale]) for part in parts}
        if options.json:
            options.json.write_text(json.dumps(as_json(machine, scale, outcomes), indent=2) + "\n")
    except Exception as error:
        if not isinstance(error, (OSError, RuntimeError, subprocess.SubprocessError, *suite.errors)):
            raise
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 1 if any(outcome.broken for outcome in outcomes.values()) else 0


def run_part(suite: Suite, part: str, directory: Path, scale: object) -> Outcome:
    """Run one part in a temporary folder, and print what it found."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"bench-{suite.name}-", dir=directory) as folder:
        outcome = suite.parts[part](Path(folder), scale)
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


def _parser(suite: Suite) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{suite.name}",
        description=suite.about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = suite.parts
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="PART", help=f"{', '.join(parts)}; or all")
    parser.add_argument("--quick", action="store_true", help="about a minute, for CI")
    parser.add_argument("--scale", choices=suite.scales, default="full", help="how much is measured (default: full)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIR", help="write to a temporary folder in there (default: here)"
    )
    return parser
