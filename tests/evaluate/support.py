"""What the tests of the evaluator share: data in GSM8K's format, a way to write it, and statistics by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoints import Statistics
from evaluate.sample import Sample


def problem(question: str, number: object) -> dict[str, str]:
    """A row in GSM8K's format."""
    return {"question": question, "answer": f"It is {number}.\n#### {number}"}


def problems(count: int, prefix: str = "How many is") -> list[dict[str, str]]:
    return [problem(f"{prefix} {number}?", number) for number in range(count)]


def samples(rows: Iterable[Mapping[str, Any]]) -> list[Sample]:
    return [Sample.of(idx, row) for idx, row in enumerate(rows)]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def statistics(**changes: Any) -> Statistics:
    """A finished run of 10 samples, 4 of them correct, unless told otherwise."""
    plain = Statistics(
        samples_processed=10,
        total_samples=10,
        correct_count=4,
        errors=0,
        accuracy=0.4,
        accuracy_lower=0.4,
        accuracy_upper=0.4,
        scores={"numeric": 0.4, "strict-match": 0.2},
        status_counts={"success": 10},
        attempts=1,
        elapsed_s=20.0,
        samples_per_s=0.5,
        eta_s=0.0,
        finished=True,
    )
    return replace(plain, **changes)
