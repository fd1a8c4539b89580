"""The last word: accuracy, what it rests on, and what the crashes cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import Record, Statistics


@dataclass(frozen=True)
class Audit:
    """What reading results.jsonl back has shown: samples without a record, and records too many."""

    recorded: int
    lost: int
    repeated: int


def audit(records: Iterable[Record], total_samples: int) -> Audit:
    """Count, trusting nothing but the records themselves."""
    seen = bytearray(total_samples)
    repeated = 0
    for record in records:
        repeated += seen[record.idx]
        seen[record.idx] = 1
    recorded = sum(seen)
    return Audit(recorded, total_samples - recorded, repeated)


def standard_error(share: float, count: int) -> float | None:
    """Of a mean of zeros and ones: sqrt(p (1 - p) / (n - 1)), the sample standard error that lm-eval reports."""
    return float((share * (1 - share) / (count - 1)) ** 0.5) if count > 1 else None


def as_json(task: str, model: str, seed: int, stats: Statistics) -> dict[str, Any]:
    """The final numbers for other programs."""
    scored = stats.samples_processed - stats.errors
    return {
        "task": task,
        "model": model,
        "seed": seed,
        "accuracy": stats.accuracy,
        "accuracy_stderr": None if stats.accuracy is None else standard_error(stats.accuracy, scored),
        **{name: value for name, value in dict(stats).items() if name != "accuracy"},
    }


def rows(stats: Statistics, headline: str, checked: Audit | None, place: Path | None) -> list[tuple[str, str]]:
    """The summary as names and values, in order of interest."""
    scored = stats.samples_processed - stats.errors
    table = [(f"accuracy ({headline})", _share(stats.accuracy, scored))]
    table += [(name, _share(value, scored)) for name, value in stats.scores.items() if name != headline]
    if stats.errors:
        bounds = f"{stats.accuracy_lower:.1%} to {stats.accuracy_upper:.1%}"
        kinds = ", ".join(f"{kind} {count}" for kind, count in stats.status_counts.items() if kind != "success")
        table.append(("without a score", f"{stats.errors} ({kinds}): accuracy {bounds}, were they all wrong or right"))
    table.append(("attempts", str(stats.attempts)))
    if checked is not None:
        table.append(
            (
                "samples",
                f"{checked.recorded} of {stats.total_samples}: lost {checked.lost}, repeated {checked.repeated}",
            )
        )
    rate = f", {stats.samples_per_s:.2f} samples/s" if stats.samples_per_s else ""
    table.append(("time at work", f"{stats.elapsed_s:.0f} s{rate}"))
    if place is not None:
        table.append(("results", str(place)))
    return table


def _share(value: float | None, count: int) -> str:
    if value is None:
        return "unknown: no sample was scored"
    error = standard_error(value, count)
    return f"{value:.1%}" + (f" ± {error:.1%} (standard error)" if error is not None else "")
