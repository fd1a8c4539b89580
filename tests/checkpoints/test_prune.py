"""`python -m checkpoints prune`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, Record
from checkpoints.layout import RunLayout
from checkpoints.overview import RunRow, RunState
from checkpoints.prune import Policy, choose, parse_age
from tests.checkpoints.support import FakeTime, environment, python, start
from tests.checkpoints.test_compress import crashed_often
from tests.checkpoints.test_lock import HOLD

DAY_S = 86_400.0


def prune(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "prune", directory, *options)


def make(directory: Path, name: str, *, age_days: float = 0, done: int = 2, total: int = 2) -> Path:
    """A run whose last record was written so long ago."""
    fake = FakeTime(epoch_s=time.time() - age_days * DAY_S)
    with CheckpointManager(directory, name, clock=fake.clock).open(total_samples=total) as run:
        for idx in range(done):
            run.record(Record(idx))
    return directory / name


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def row(name: str, state: RunState, updated: float | None) -> RunRow:
    return RunRow(name, state, None, updated)


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        (Policy(), []),
        (Policy(older_than_s=50), ["a"]),
        (Policy(older_than_s=50, unfinished=True), ["a", "stopped"]),
        (Policy(keep_last=1), ["a"]),
        (Policy(keep_last=0), ["a", "b"]),
        (Policy(keep_last=9), []),
        (Policy(older_than_s=1, keep_last=1), ["a"]),
        (Policy(older_than_s=1000, keep_last=0), []),
    ],
)
def test_which_runs_go(policy: Policy, gone: list[str]) -> None:
    rows = [
        row("a", RunState.FINISHED, 10), row("b", RunState.FINISHED, 80), row("stopped", RunState.STOPPED, 20),
        row("live", RunState.RUNNING, 1), row("damaged", RunState.DAMAGED, None),
    ]  # fmt: skip
    assert [each.name for each in choose(rows, policy, now=100)] == gone


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("90m", 5400), ("12h", 43200), ("30d", 30 * DAY_S), ("2w", 14 * DAY_S), ("1.5h", 5400)],
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "", "1d1h"])
def test_ages_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="as in 30d"):
        parse_age(text)


def test_old_finished_runs_go_and_nothing_else_is_touched(tmp_path: Path) -> None:
    make(tmp_path, "old", age_days=40)
    make(tmp_path, "new", age_days=1)
    make(tmp_path, "stopped", age_days=40, done=1)
    elsewhere = make(tmp_path.parent / f"{tmp_path.name}-elsewhere", "linked", age_days=40)
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "results.jsonl").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "old" / "inside").symlink_to(elsewhere)
    before = tree(tmp_path)
    done = prune(tmp_path, "--older-than", "30d", "--yes")
    assert done.returncode == 0, done.stderr
    assert before - tree(tmp_path) == {each for each in before if each == "old" or each.startswith("old/")}
    assert (elsewhere / "results.jsonl").exists()
    assert str(tmp_path / "old") in done.stdout
    assert prune(tmp_path, "--older-than", "30d", "--unfinished", "--yes").returncode == 0
    assert names(tmp_path) == ["data", "link", "new", "notes.txt"]


def test_a_dry_run_and_an_unanswered_question_remove_nothing(tmp_path: Path) -> None:
    make(tmp_path, "old", age_days=40)
    (tmp_path / ".gone.pruned").mkdir()
    before = tree(tmp_path)
    dry = prune(tmp_path, "--keep-last", "0", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "old" in dry.stdout
    assert "in all" in dry.stdout
    command = ["-m", "checkpoints", "prune", str(tmp_path), "--keep-last", "0"]
    for answer, said in (("", "add --yes"), ("n\n", "nothing was removed")):
        asked = subprocess.run(
            [sys.executable, *command], input=answer, env=environment(), capture_output=True, text=True, check=False
        )
        assert asked.returncode == 1
        assert said in asked.stderr
    assert tree(tmp_path) == before
    agreed = subprocess.run([sys.executable, *command], input="y\n", env=environment(), text=True, check=False)
    assert (agreed.returncode, names(tmp_path)) == (0, [])


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    run = make(tmp_path, "r")
    mistakes: list[tuple[list[str | Path], int, str]] = [
        ([tmp_path], 2, "say what to remove"),
        ([tmp_path, "--older-than", "soon"], 2, "as in 30d"),
        ([run, "--keep-last", "0"], 2, "is a run"),
        ([tmp_path / "no", "--keep-last", "0"], 1, "there is no folder"),
    ]
    for arguments, code, text in mistakes:
        done = python("-m", "checkpoints", "prune", *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert text in done.stderr
    assert prune(tmp_path, "--keep-last", "5").stderr == "checkpoints: there is nothing to remove\n"


def test_a_live_run_stays_even_if_it_looks_old(tmp_path: Path) -> None:
    make(tmp_path, "old", age_days=3)
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        done = prune(tmp_path, "--keep-last", "0", "--unfinished", "--yes", "--torn-tails", "--reports", "0")
        # What says who holds it may be missing or another machine's: the lock itself still counts.
        (tmp_path / "r" / "run.lock").write_text("")
        blind = prune(tmp_path, "--keep-last", "0", "--unfinished", "--yes")
        assert holder.poll() is None
        holder.kill()
    assert (done.returncode, names(tmp_path)) == (0, ["r"])
    assert (blind.returncode, "is being written" in blind.stderr) == (73, True)
    assert CheckpointManager(tmp_path, "r").get_statistics().samples_processed == 1


def test_reports_and_torn_tails_go_and_attempts_stay(tmp_path: Path) -> None:
    layout = RunLayout(make(tmp_path, "r", done=1))
    crashed_often(layout)
    attempts = {f"attempt-{number:04d}.json" for number in range(1, 6)}
    assert prune(tmp_path, "--reports", "2", "--yes").returncode == 0
    assert set(names(layout.attempts)) == attempts | {
        "attempt-0004.report.json", "attempt-0005.report.json", "attempt-0005.torn-tail", "attempt-0005.1.torn-tail",
        "notes.txt",
    }  # fmt: skip
    assert prune(tmp_path, "--torn-tails", "--yes").returncode == 0
    assert set(names(layout.attempts)) == attempts | {
        "attempt-0004.report.json", "attempt-0005.report.json", "notes.txt",
    }  # fmt: skip
    assert layout.results.exists()


KILLED = """
import os, pathlib, signal, sys, time
from checkpoints.layout import RunLayout
from checkpoints.prune import Policy, remove_run
left = int(sys.argv[2])
def deadly(owner, name):
    original = getattr(owner, name)
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(owner, name, call)
for name in ("rename", "unlink", "rmdir"):
    deadly(pathlib.Path, name)
deadly(os, "unlink"); deadly(os, "fsync")
remove_run(RunLayout(pathlib.Path(sys.argv[1])), Policy(keep_last=0), time.time())
"""


def test_killed_at_any_moment_it_leaves_a_whole_run_or_a_hidden_rest_that_goes_next_time(tmp_path: Path) -> None:
    kills, hidden = 0, 0
    for moment in range(1, 30):
        run = make(tmp_path, "r")
        files = {path.name for path in run.iterdir()}
        done = python(run, str(moment), code=KILLED)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        if done.returncode == 0:
            break
        kills += 1
        if run.exists():
            assert {path.name for path in run.iterdir()} == files
            assert CheckpointManager(tmp_path, "r").get_statistics().finished
        else:
            hidden += 1
            assert names(tmp_path) == [".r.pruned"]
        make(tmp_path, "kept")
        assert prune(tmp_path, "--older-than", "1000d", "--yes").returncode == 0
        assert "kept" in names(tmp_path)
        assert ".r.pruned" not in names(tmp_path)
        assert prune(tmp_path, "--keep-last", "0", "--yes").returncode == 0
    assert kills >= 5
    assert hidden >= 4
    assert names(tmp_path) == []


def test_a_folder_that_only_looks_like_a_leftover_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / ".precious.pruned").mkdir()
    (tmp_path / ".precious.pruned" / "thesis.txt").write_text("mine")
    assert prune(tmp_path, "--keep-last", "0", "--yes").returncode == 0
    assert (tmp_path / ".precious.pruned" / "thesis.txt").read_text() == "mine"
