"""`python -m checkpoints import`."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from checkpoints import CheckpointManager, Record, Status
from checkpoints.completed import CompletedSet
from checkpoints.legacy import base_of
from tests.checkpoints.support import make_run, python, start
from tests.checkpoints.test_lock import HOLD

QUESTIONS: list[dict[str, Any]] = [
    {"question_id": 1, "question": "What is 2+2?", "model_answer": "B) 4", "score": 1.0},
    {"question_id": 2, "question": "And 3+3?", "model_answer": "A) 5", "score": 0.0, "attempt": 3},
    {"question_id": 3, "question": "And 4+4?", "model_answer": None, "score": None, "error": "timed out"},
]
SAMPLES: list[dict[str, Any]] = [
    {"idx": 0, "status": "success", "ground_truth": 42, "model_answer": 42, "is_correct": True, "timestamp": 1.7e9},
    {"idx": 1, "status": "success", "ground_truth": 9, "model_answer": 8, "is_correct": False, "timestamp": 1.8e9},
    {"idx": 2, "status": "error_generation", "ground_truth": 7, "timestamp": 1703001239.5},
]  # fmt: skip


def import_(file: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "import", file, "--checkpoint-dir", file.parent / "runs", *options)


def questions(directory: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
    """As the question answering system writes it: everything in one file."""
    rows = QUESTIONS if rows is None else rows
    value = {
        "timestamp": "2024-12-15T15:45:30.123456",
        "completed_count": len(rows),
        "completed_indices": [row.get("question_id") for row in rows],
        "results": rows,
        "metadata": {"configuration": "c", "statistics": "s"},
        "config": {"model": {"generator_settings": {"model": "mistral"}}},
        "version": "2.0",
        **changes,
    }
    path = directory / "checkpoint_HR-GOOD.json"
    path.write_text(json.dumps({name: each for name, each in value.items() if each is not ...}))
    return path


def samples(directory: Path, lines: list[dict[str, Any]], embedded: list[Any] | None, **changes: Any) -> Path:
    """As the evaluation with a retry wrapper writes it: a checkpoint, and the results beside it."""
    path = directory / "my_run.checkpoint.json"
    value = {
        "last_completed_idx": 2, "total_samples": 5, "correct_count": 1, "start_time": 1703001234.5,
        "last_update_time": 1703002345.6, **({} if embedded is None else {"results": embedded}), **changes,
    }  # fmt: skip
    path.write_text(json.dumps({name: each for name, each in value.items() if each is not ...}))
    (directory / "my_run.results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def imported(directory: Path, name: str) -> tuple[CheckpointManager, list[Record]]:
    manager = CheckpointManager(directory / "runs", name)
    return manager, list(manager.records())


def test_embedded_results_become_records(tmp_path: Path) -> None:
    file = questions(tmp_path)
    done = import_(file)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "question_id counts from 1: idx is question_id - 1" in done.stderr
    manager, records = imported(tmp_path, "checkpoint_HR-GOOD")
    assert [(each.idx, each.sample_id, each.status, each.is_correct) for each in records] == [
        (0, "1", Status.SUCCESS, True), (1, "2", Status.SUCCESS, False), (2, "3", Status.ERROR_GENERATION, False),
    ]  # fmt: skip
    assert [dict(each.scores) for each in records] == [{"score": 1.0}, {"score": 0.0}, {}]
    assert records[0].model_answer == "B) 4"
    assert dict(records[0].extra) == {"question": "What is 2+2?"}
    assert dict(records[1].extra) == {"question": "And 3+3?", "imported_attempt": 3}
    assert records[2].extra["error"] == "timed out"
    stats = manager.get_statistics()
    assert (stats.accuracy, stats.errors, stats.total_samples) == (0.5, 1, None)
    run = json.loads(manager.layout.run.read_text())
    assert run["identity"] == {
        "imported_from": {
            "config": {"model": {"generator_settings": {"model": "mistral"}}},
            "metadata": {"configuration": "c", "statistics": "s"},
            "version": "2.0",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    }
    assert run["provenance"]["imported_files"] == [file.name]
    assert python("-m", "checkpoints", "verify", manager.layout.root).returncode == 0


@pytest.mark.parametrize("embedded", [None, [], SAMPLES], ids=["no list", "empty list", "both"])
@pytest.mark.parametrize("name", ["my_run.checkpoint.json", "my_run.results.jsonl"])
def test_results_beside_the_checkpoint_become_records(tmp_path: Path, embedded: list[Any] | None, name: str) -> None:
    samples(tmp_path, SAMPLES, embedded)
    done = import_(tmp_path / name)
    assert done.returncode == 0, done.stderr
    manager, records = imported(tmp_path, "my_run")
    assert [(each.idx, each.status, each.is_correct, each.timestamp) for each in records] == [
        (0, Status.SUCCESS, True, 1.7e9), (1, Status.SUCCESS, False, 1.8e9),
        (2, Status.ERROR_GENERATION, False, 1703001239.5),
    ]  # fmt: skip
    assert (records[0].ground_truth, dict(records[0].extra)) == (42, {})
    assert (manager.get_statistics().total_samples, manager.get_statistics().finished) == (5, False)


def test_results_alone_are_enough(tmp_path: Path) -> None:
    samples(tmp_path, SAMPLES, None).unlink()
    assert import_(tmp_path / "my_run.results.jsonl", "--run-name", "mine").returncode == 0
    assert [each.idx for each in imported(tmp_path, "mine")[1]] == [0, 1, 2]


def test_a_torn_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    file = samples(tmp_path, SAMPLES, None)
    with (tmp_path / "my_run.results.jsonl").open("a") as results:
        results.write('{"idx": 3, "status": "succ')
    done = import_(file)
    assert done.returncode == 0
    assert "line 4: the last line is torn, and is left out" in done.stderr
    assert len(imported(tmp_path, "my_run")[1]) == 3


def test_results_ahead_of_the_checkpoint_are_imported_and_told(tmp_path: Path) -> None:
    for embedded in (None, SAMPLES[:2]):
        directory = tmp_path / str(embedded is None)
        directory.mkdir()
        done = import_(samples(directory, SAMPLES, embedded, last_completed_idx=1))
        assert done.returncode == 0, done.stderr
        assert "the results are 1 ahead of the checkpoint" in done.stderr
        assert len(imported(directory, "my_run")[1]) == 3


SCORED = [{"question_id": idx, "score": 1} for idx in range(3)]

BAD_QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({"completed_count": 7}, "completed_count 7, its results say 3"),
    ({"completed_indices": [1, 2]}, "name different samples"),
    ({"completed_indices": [1, 2, 2]}, "holds an index twice"),
    ({"results": "none"}, "is not a list of objects"),
    ({"results": ...}, "there are no results in it"),
    ({"results": []}, "there are no results"),
    ({"results": [*QUESTIONS, QUESTIONS[0]]}, "question_id 1 is there twice"),
    ({"results": [{"question": "?", "score": 1}]}, "nothing says which sample it is"),
    ({"results": [*QUESTIONS[:2], {"score": 1}]}, "there is no question_id"),
    ({"results": [{"question_id": "q-7", "score": 1}]}, "not a number from 0 on"),
    ({"results": [{"question_id": -1, "score": 1}]}, "not a number from 0 on"),
    ({"results": [{"question_id": True, "score": 1}]}, "not a number from 0 on"),
    ({"results": [{"question_id": 0}]}, "neither is_correct nor a score"),
    ({"results": [{"question_id": 0, "score": 85}]}, "not between 0 and 1"),
    ({"results": [{"question_id": 0, "is_correct": "maybe"}]}, "neither true nor false"),
    ({"results": SCORED, "completed_indices": [0, 1, 2], "metadata": {"total_questions": 2}}, "beyond the 2 samples"),
]


@pytest.mark.parametrize(("changes", "text"), BAD_QUESTIONS)
def test_what_contradicts_itself_is_told_and_not_imported(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    done = import_(questions(tmp_path, **changes))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert text in done.stderr
    assert not (tmp_path / "runs").exists()


def test_two_files_that_disagree_are_not_imported(tmp_path: Path) -> None:
    other = [{**SAMPLES[0], "is_correct": False}, *SAMPLES[1:]]
    done = import_(samples(tmp_path, SAMPLES, other))
    assert (done.returncode, "line 1: idx 0 is another result in the checkpoint" in done.stderr) == (1, True)
    done = import_(samples(tmp_path, SAMPLES[:2], SAMPLES, last_completed_idx=1))
    assert (done.returncode, "1 result(s) of the checkpoint are not in" in done.stderr) == (1, True)
    done = import_(samples(tmp_path, SAMPLES, None, correct_count=3))
    assert (done.returncode, "correct_count 3, its results say 1" in done.stderr) == (1, True)
    assert not (tmp_path / "runs").exists()


def test_damaged_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    file = samples(tmp_path, SAMPLES, None)
    results = tmp_path / "my_run.results.jsonl"
    lines = results.read_text().splitlines()
    results.write_text("\n".join([lines[0], "{torn", lines[2], ""]))
    done = import_(file)
    assert (done.returncode, "line 2: not JSON" in done.stderr, "yet other lines follow" in done.stderr) == (
        1,
        True,
        True,
    )
    file.write_text('{"results": [')
    done = import_(file)
    assert (done.returncode, "not JSON" in done.stderr, len(done.stderr.splitlines())) == (1, True, 1)
    file.write_text("[]")
    assert "a JSON object is expected" in import_(file).stderr
    done = import_(tmp_path / "nowhere.json")
    assert (done.returncode, done.stderr) == (1, f"checkpoints: there is no file {tmp_path / 'nowhere.json'}\n")
    ours = make_run(tmp_path, 0, total=1).layout
    assert "belongs to a run of this store already" in import_(ours.checkpoint).stderr
    done = import_(questions(tmp_path), "--run-name", "a/b")
    assert (done.returncode, "plain folder name" in done.stderr) == (2, True)


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    done = import_(questions(tmp_path), "--dry-run")
    assert (done.returncode, "3 result(s) would be imported" in done.stderr) == (0, True)
    assert not (tmp_path / "runs").exists()


def test_importing_again_finishes_what_a_kill_left_and_doubles_nothing(tmp_path: Path) -> None:
    rows = [{"question_id": idx, "score": idx % 2, "text": "x" * 300} for idx in range(1_200)]
    file = questions(tmp_path, rows)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from checkpoints import CheckpointManager, legacy, legacy_source\n"
        "record = CheckpointManager.record\n"
        "def deadly(self, *records):\n"
        "    record(self, *records)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "CheckpointManager.record = deadly\n"
        "plan = legacy.plan(legacy_source.find(Path(sys.argv[1])))\n"
        "legacy.write(plan, CheckpointManager(sys.argv[2], 'checkpoint_HR-GOOD'))\n"
    )
    assert python(file, tmp_path / "runs", code=code).returncode == -9
    assert len(imported(tmp_path, "checkpoint_HR-GOOD")[1]) == 500
    done = import_(file)
    assert done.returncode == 0, done.stderr
    assert "700 result(s) were imported" in done.stderr
    assert "500 were there already" in done.stderr
    assert [each.idx for each in imported(tmp_path, "checkpoint_HR-GOOD")[1]] == list(range(1_200))
    assert "0 result(s) were imported" in import_(file).stderr


def test_another_run_of_that_name_is_left_as_it_is(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", 0, total=9)
    done = import_(questions(tmp_path), "--run-name", "r")
    assert (done.returncode, "made with other settings" in done.stderr) == (1, True)
    assert len(imported(tmp_path, "r")[1]) == 1
    with start(HOLD, tmp_path / "runs2") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        done = import_(questions(tmp_path), "--run-name", "r", "--checkpoint-dir", tmp_path / "runs2")
        holder.kill()
    assert done.returncode == 73


@pytest.mark.parametrize(
    ("name", "ids", "completed", "total", "shift"),
    [
        ("question_id", [1, 2, 3], None, None, 1),
        ("question_id", [0, 1, 2], None, None, 0),
        ("question_id", [1, 2, 5], None, 5, 1),
        ("question_id", [1, 2, 5], None, 9, 0),
        ("question_id", [1, 2, 5], [0, 1, 4], None, 1),
        ("question_id", [1, 2, 5], [1, 2, 5], None, 0),
        ("question_id", [2, 3], None, None, 0),
        ("idx", [1, 2, 3], None, None, 0),
    ],
)
def test_ids_are_moved_only_when_they_count_from_1(
    name: str, ids: list[int], completed: list[int] | None, total: int | None, shift: int
) -> None:
    assert base_of(name, CompletedSet.of(ids), completed, total)[0] == shift
