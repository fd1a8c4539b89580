"""The last word, and the audit behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import Record
from evaluate.summary import Audit, as_json, audit, rows, standard_error
from tests.evaluate.support import statistics

ERRORS: dict[str, Any] = {
    "samples_processed": 10,
    "correct_count": 4,
    "errors": 2,
    "accuracy": 0.5,
    "accuracy_lower": 0.4,
    "accuracy_upper": 0.6,
    "status_counts": {"success": 8, "error_generation": 1, "error_crash": 1},
}
NOTHING: dict[str, Any] = {
    "accuracy": None,
    "accuracy_lower": None,
    "accuracy_upper": None,
    "scores": {},
    "samples_per_s": None,
}


@pytest.mark.parametrize(
    ("indices", "found"),
    [
        ([], Audit(recorded=0, lost=4, repeated=0)),
        ([0, 1, 2, 3], Audit(recorded=4, lost=0, repeated=0)),
        ([3, 1, 0, 2], Audit(recorded=4, lost=0, repeated=0)),
        ([0, 3], Audit(recorded=2, lost=2, repeated=0)),
        ([0, 0, 1, 1, 1], Audit(recorded=2, lost=2, repeated=3)),
    ],
)
def test_the_audit_counts_lost_and_repeated_samples(indices: list[int], found: Audit) -> None:
    assert audit((Record(idx) for idx in indices), 4) == found


@given(st.lists(st.integers(0, 49)))
def test_the_audit_agrees_with_counting_by_hand(indices: list[int]) -> None:
    different = len(set(indices))
    expected = Audit(different, 50 - different, len(indices) - different)
    assert audit(map(Record, indices), 50) == expected


@pytest.mark.parametrize(
    ("share", "count", "error"),
    [
        (0.5, 5, 0.25),  # sqrt(0.25 / 4)
        (0.2, 17, 0.1),  # sqrt(0.16 / 16)
        (0.0, 10, 0.0),
        (1.0, 10, 0.0),
        (0.5, 2, 0.5),
    ],
)
def test_the_standard_error_is_that_of_the_sample(share: float, count: int, error: float) -> None:
    assert standard_error(share, count) == pytest.approx(error, abs=1e-15)


@pytest.mark.parametrize("count", [0, 1])
def test_one_sample_has_no_standard_error(count: int) -> None:
    assert standard_error(1.0, count) is None


def test_a_clean_run_in_words() -> None:
    shown = rows(statistics(), "numeric", Audit(10, 0, 0), Path("checkpoints/r/results.jsonl"))
    assert shown == [
        ("accuracy (numeric)", "40.0% ± 16.3% (standard error)"),
        ("strict-match", "20.0% ± 13.3% (standard error)"),
        ("attempts", "1"),
        ("samples", "10 of 10: lost 0, repeated 0"),
        ("time at work", "20 s, 0.50 samples/s"),
        ("results", "checkpoints/r/results.jsonl"),
    ]


def test_samples_without_a_score_are_shown_with_the_bounds_they_leave_open() -> None:
    shown = dict(rows(statistics(**ERRORS), "numeric", Audit(9, 1, 0), None))
    assert shown["accuracy (numeric)"] == "50.0% ± 18.9% (standard error)"  # over the 8 that were scored
    assert shown["without a score"] == (
        "2 (error_generation 1, error_crash 1): accuracy 40.0% to 60.0%, were they all wrong or right"
    )
    assert shown["samples"] == "9 of 10: lost 1, repeated 0"
    assert "results" not in shown


def test_a_run_that_is_kept_nowhere_has_no_audit() -> None:
    assert "samples" not in dict(rows(statistics(), "numeric", None, None))


def test_where_no_sample_was_scored_the_accuracy_is_unknown() -> None:
    stats = statistics(**{**ERRORS, **NOTHING, "errors": 10, "accuracy_lower": 0.0, "accuracy_upper": 1.0})
    shown = dict(rows(stats, "numeric", None, None))
    assert shown["accuracy (numeric)"] == "unknown: no sample was scored"
    assert "accuracy 0.0% to 100.0%" in shown["without a score"]
    assert shown["time at work"] == "20 s"


def test_the_numbers_for_other_programs() -> None:
    found = as_json("gsm-mini", "tiny", 7, statistics(**ERRORS))
    assert (found["task"], found["model"], found["seed"]) == ("gsm-mini", "tiny", 7)
    assert found["accuracy"] == 0.5
    assert found["accuracy_stderr"] == pytest.approx((0.25 / 7) ** 0.5)  # 8 were scored
    assert (found["accuracy_lower"], found["accuracy_upper"], found["errors"]) == (0.4, 0.6, 2)
    assert set(dict(statistics())) < set(found)
    assert orjson.loads(orjson.dumps(found)) == found


def test_unknown_numbers_are_null_for_other_programs() -> None:
    found = as_json("gsm-mini", "tiny", 7, statistics(**NOTHING))
    assert found["accuracy"] is None
    assert found["accuracy_stderr"] is None
