"""`python -m checkpoints status`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from checkpoints import CheckpointManager, Record, Status
from checkpoints.cli_look import format_duration
from tests.checkpoints.support import FakeTime, make_run, python, start
from tests.checkpoints.test_lock import HOLD


def status(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "status", *arguments, cwd=cwd)


def as_json(directory: Path) -> dict[str, Any]:
    done = status(directory, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return {row["name"]: row for row in json.loads(done.stdout)}


def folder_of_runs(directory: Path) -> Path:
    """One finished run, one stopped one, and things that are no runs."""
    time = FakeTime()
    with CheckpointManager(directory, "done", clock=time.clock).open(total_samples=2) as run:
        time.advance(75)
        run.record(Record(0, is_correct=True), Record(1))
    with CheckpointManager(directory, "halfway", clock=time.clock).open(total_samples=8) as run:
        time.advance(3_600)
        run.record(Record(0, is_correct=True), Record(1, status=Status.ERROR_CRASH))
    (directory / "not-a-run").mkdir()
    (directory / "notes.txt").write_text("")
    return directory


def test_the_table_has_a_line_per_run(tmp_path: Path) -> None:
    done = status(folder_of_runs(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = [line.split() for line in done.stdout.splitlines()]
    assert header == ["run", "state", "done", "accuracy", "errors", "attempts", "elapsed", "left", "updated"]
    assert [line[:8] for line in lines] == [
        ["done", "finished", "2/2", "50.0%", "0", "1", "1m15s", "-"],
        ["halfway", "stopped", "2/8", "100.0%", "1", "1", "1h00m", "3h00m"],
    ]


def test_json_gives_every_statistic(tmp_path: Path) -> None:
    rows = as_json(folder_of_runs(tmp_path))
    assert [*rows] == ["done", "halfway"]
    assert (rows["done"]["state"], rows["halfway"]["state"], rows["done"]["problem"]) == ("finished", "stopped", "")
    assert rows["halfway"]["statistics"] == dict(CheckpointManager(tmp_path, "halfway").get_statistics())


def test_looking_changes_no_file(tmp_path: Path) -> None:
    folder_of_runs(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    as_json(tmp_path)
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()
    }


def test_a_single_run_can_be_named(tmp_path: Path) -> None:
    folder_of_runs(tmp_path)
    assert [*as_json(tmp_path / "halfway")] == ["halfway"]
    inside = status(".", "--json", cwd=tmp_path / "done")
    assert [row["name"] for row in json.loads(inside.stdout)] == ["done"]


def test_the_folder_is_checkpoints_unless_told_otherwise(tmp_path: Path) -> None:
    folder_of_runs(tmp_path / "checkpoints")
    done = status("--json", cwd=tmp_path)
    assert [row["name"] for row in json.loads(done.stdout)] == ["done", "halfway"]


def test_a_folder_without_runs_is_said_to_have_none(tmp_path: Path) -> None:
    done = status(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there are no runs in {tmp_path}" in done.stderr
    assert as_json(tmp_path) == {}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_folder_that_is_missing_is_one_line_and_no_traceback(tmp_path: Path, options: list[str]) -> None:
    done = status(tmp_path / "nowhere", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"checkpoints: cannot read {tmp_path / 'nowhere'}: No such file or directory\n"


def damage_log(root: Path) -> str:
    make_run(root.parent, 2)
    log = root / "results.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"s0"', b'"S0"'))
    (root / "checkpoint.json").unlink()
    return "results.jsonl, line 1, byte 0: the checksum does not match"


def damage_description(root: Path) -> str:
    (root / "run.json").write_text("{")
    return "run.json, line 1, byte 0"


def replace_checkpoint_by_a_folder(root: Path) -> str:
    (root / "checkpoint.json").unlink()
    (root / "checkpoint.json").mkdir()
    return "Is a directory"


@pytest.mark.parametrize("damage", [damage_log, damage_description, replace_checkpoint_by_a_folder])
def test_a_damaged_run_is_shown_and_does_not_hide_the_others(tmp_path: Path, damage: Any) -> None:
    make_run(folder_of_runs(tmp_path), 0, 1, total=3)
    problem = damage(tmp_path / "r")
    rows = as_json(tmp_path)
    assert {name: row["state"] for name, row in rows.items()} == {
        "done": "finished", "halfway": "stopped", "r": "damaged",
    }  # fmt: skip
    assert problem in rows["r"]["problem"]
    assert rows["r"]["statistics"] is None
    table = status(tmp_path)
    assert table.returncode == 0
    assert [line.split()[:2] for line in table.stdout.splitlines()[1:4]] == [
        ["done", "finished"], ["halfway", "stopped"], ["r", "damaged"],
    ]  # fmt: skip
    assert problem in table.stdout.replace("\n", "")


def test_a_live_run_is_running_and_after_a_kill_it_is_stopped(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        live = as_json(tmp_path)["r"]
        holder.kill()
    assert (live["state"], live["statistics"]["samples_processed"]) == ("running", 1)
    assert as_json(tmp_path)["r"]["state"] == "stopped"


def test_a_run_name_is_printed_as_it_is(tmp_path: Path) -> None:
    """Square brackets mean something to rich."""
    CheckpointManager(tmp_path, "[red]run").open().close()
    assert "[red]run" in status(tmp_path).stdout


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0s"),
        (-5, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (61, "1m01s"),
        (3599.9, "1h00m"),
        (90_000, "25h00m"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("checkpoints", "torch transformers datasets rich typer"),
        ("checkpoints.cli", "torch transformers datasets rich"),
        ("checkpoints.overview", "torch transformers datasets rich typer"),
        ("crashproof", "torch transformers datasets rich typer"),
    ],
)
def test_importing_is_light(module: str, unwanted: str) -> None:
    done = python(code=f"import sys, {module}; print(*sorted({{*sys.modules}} & {{*{unwanted.split()}}}))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
