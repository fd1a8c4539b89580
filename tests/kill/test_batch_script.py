"""run_batch.sh: the seed sweep."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.kill.support import count


def sweep(directory: Path, environment: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "run_batch.sh"), *options],
        cwd=directory,
        env={**environment, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def options(tiny_model: Path) -> list[str]:
    return ["--task", "gsm-mini", "--model", str(tiny_model), "--run-name", "sweep", "--seed-from", "7"]


SHORT = ["--", "--limit", "6", "--max-new-tokens", "4", "-f", "1"]


def test_a_sweep_ends_with_a_table_and_can_be_run_again(
    options: list[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    first = sweep(tmp_path, environment, *options, "--seed_to", "8", "--max-retries=2", *SHORT)
    assert first.returncode == 0, first.stderr
    table = first.stdout.split("=== sweep\n")[1].splitlines()
    assert [line.split()[0] for line in table] == ["seed", "7", "8", "mean"]
    assert "standard error over 2 seeds" in table[-1]
    before = (tmp_path / "checkpoints" / "sweep-seed7" / "results.jsonl").read_bytes()

    again = sweep(tmp_path, environment, *options, "--seed-to", "8", *SHORT)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("is complete already") == 2
    assert "loading" not in again.stderr
    assert again.stdout.split("=== sweep\n")[1].splitlines() == table
    assert (tmp_path / "checkpoints" / "sweep-seed7" / "results.jsonl").read_bytes() == before


def test_a_failing_seed_does_not_stop_the_others_and_is_named(
    options: list[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    # A file where the run's folder has to be: this seed cannot be evaluated.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "sweep-seed7").write_text("in the way")
    ended = sweep(tmp_path, environment, *options, "--seed-to", "8", *SHORT)
    assert ended.returncode == 1
    assert "failed: seed 7 (exit code 74)" in ended.stderr
    assert count(tmp_path / "checkpoints" / "sweep-seed8") == 6
    table = ended.stdout.split("=== sweep\n")[1].splitlines()
    assert [line.split()[0] for line in table] == ["seed", "8", "mean"]


def test_a_finished_seed_with_other_settings_is_not_passed_off_as_this_one(
    options: list[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    assert sweep(tmp_path, environment, *options, "--seed-to", "7", *SHORT).returncode == 0
    other = sweep(tmp_path, environment, *options, "--seed-to", "7", *SHORT[:-1], "2")
    assert other.returncode == 1
    assert "settings.num_fewshot: the run has 1, now given 2" in other.stderr
    assert other.stdout.split("=== sweep\n")[1] == ""


def test_without_checkpoints_nothing_is_kept_but_the_table(
    options: list[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    ended = sweep(tmp_path, environment, *options, "--seed-to", "7", "--disable-checkpoint", *SHORT)
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "checkpoints").exists()
    assert json.loads((tmp_path / "logs" / "sweep-seed7.json").read_bytes())["samples_processed"] == 6


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["--task", "gsm-mini", "--sed-from", "1"], "there is no option --sed-from"),
        (["--task"], "--task needs a value"),
        (["--seed-from", "1"], "name the task"),
        (["--task", "gsm-mini", "--seed-from", "x"], "seeds are whole numbers"),
        (["--task", "gsm-mini", "--seed-from", "9", "--seed-to", "8"], "beyond"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    wrong: list[str], complaint: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    ended = sweep(tmp_path, environment, *wrong)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
