"""`python -m evaluate.sweep FILE…`: the table of a seed sweep, from the JSON that --output-path wrote."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

EXIT_INCOMPLETE = 1


@dataclass(frozen=True)
class SeedResult:
    """One seed of a sweep. `accuracy` is None when it has none."""

    seed: int
    accuracy: float | None
    samples: int
    errors: int
    attempts: int


def read_result(path: Path) -> SeedResult:
    """Raise OSError or ValueError when there is no result in this file."""
    value: dict[str, Any] = orjson.loads(path.read_bytes())
    try:
        return SeedResult(
            value["seed"], value["accuracy"], value["samples_processed"], value["errors"], value["attempts"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no result of an evaluation: {error}") from None


def mean_and_standard_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Over seeds: the mean, and stdev / sqrt(n), None for a single value. Raises statistics.StatisticsError on none."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return statistics.fmean(values), error


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns 1 when a file holds no result."""
    results, missing = [], 0
    for name in arguments:
        try:
            results.append(read_result(Path(name)))
        except (OSError, ValueError) as error:
            print(f"sweep: {name}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
            missing += 1
    for line in table(results):
        print(line)
    return EXIT_INCOMPLETE if missing or not results else 0


def table(results: Sequence[SeedResult]) -> list[str]:
    """One line per seed, then mean and standard error over the seeds that have an accuracy."""
    lines = [f"{'seed':>8}  {'accuracy':>8}  {'samples':>8}  {'errors':>8}  {'attempts':>8}"]
    for each in sorted(results, key=lambda result: result.seed):
        accuracy = "-" if each.accuracy is None else f"{each.accuracy:.2%}"
        lines.append(f"{each.seed:>8}  {accuracy:>8}  {each.samples:>8}  {each.errors:>8}  {each.attempts:>8}")
    known = [each.accuracy for each in results if each.accuracy is not None]
    if known:
        mean, error = mean_and_standard_error(known)
        shown = "" if error is None else f" ± {error:.2%} (standard error over {len(known)} seeds)"
        lines.append(f"{'mean':>8}  {mean:>8.2%}{shown}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
