"""The table of a seed sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluate.summary import as_json
from evaluate.sweep import SeedResult, main, mean_and_standard_error, read_result, table
from tests.evaluate.support import statistics


def write(folder: Path, seed: int, accuracy: float | None) -> str:
    """What --output-path leaves."""
    path = folder / f"seed{seed}.json"
    path.write_text(json.dumps(as_json("gsm-mini", "tiny", seed, statistics(accuracy=accuracy, attempts=3))))
    return str(path)


@pytest.mark.parametrize(
    ("values", "mean", "error"),
    [
        ([0.1, 0.2, 0.3], 0.2, 0.1 / 3**0.5),  # stdev 0.1
        ([0.2, 0.4], 0.3, 0.1),  # stdev sqrt(0.02)
        ([0.25] * 4, 0.25, 0.0),
        ([0.0, 0.0, 0.0, 1.0], 0.25, 0.25),  # stdev 0.5
    ],
)
def test_mean_and_standard_error_over_seeds(values: list[float], mean: float, error: float) -> None:
    found = mean_and_standard_error(values)
    assert found[0] == pytest.approx(mean)
    assert found[1] == pytest.approx(error)


def test_a_single_seed_has_no_standard_error() -> None:
    assert mean_and_standard_error([0.3]) == (0.3, None)


def test_the_table_is_sorted_by_seed_whatever_the_order_of_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write(tmp_path, seed, accuracy) for seed, accuracy in ((44, 0.3), (42, 0.1), (143, 0.2))]
    assert main(files) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    seed  accuracy   samples    errors  attempts",
        "      42    10.00%        10         0         3",
        "      44    30.00%        10         0         3",
        "     143    20.00%        10         0         3",
        "    mean    20.00% ± 5.77% (standard error over 3 seeds)",
    ]


def test_a_seed_without_accuracy_is_listed_and_left_out_of_the_mean() -> None:
    results = [SeedResult(1, None, 10, 10, 2), SeedResult(2, 0.5, 10, 0, 1)]
    assert table(results)[1:] == [
        "       1         -        10        10         2",
        "       2    50.00%        10         0         1",
        "    mean    50.00%",
    ]
    assert not any("mean" in line for line in table(results[:1]))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"", ""),
        (b"{", ""),
        (b'{"seed": 42}', "no result of an evaluation: 'accuracy'"),
        (b"[1]", "no result of an evaluation: "),
    ],
    ids=["missing", "empty", "torn", "another file", "a list"],
)
def test_a_file_without_a_result_is_named_and_the_others_still_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, complaint: str
) -> None:
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_bytes(content)
    assert main([write(tmp_path, 42, 0.1), str(bad), write(tmp_path, 43, 0.3)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"sweep: {bad}: {complaint}")
    assert err.count("\n") == 1
    assert out.splitlines()[-1] == "    mean    20.00% ± 10.00% (standard error over 2 seeds)"


def test_no_files_are_no_sweep() -> None:
    assert main([]) == 1


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_result(Path(write(tmp_path, 5, 0.25))) == SeedResult(5, 0.25, 10, 0, 3)
