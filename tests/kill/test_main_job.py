"""The product's one sentence: killed in every way, the run ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.kill.support import (
    attempts_of,
    evaluate_command,
    events,
    harm_at,
    records,
    run_to_end,
    supervise_command,
)

SAMPLES = 64


@pytest.fixture(scope="module")
def options(tiny_model: Path) -> list[str]:
    """Some seconds of work: 16 batches of 4."""
    return [
        "--task", "gsm-mini", "--model", str(tiny_model), "--batch-size", "4", "--max-new-tokens", "160", "-f", "1",
        "--run-name", "run",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(options: list[str], environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = run_to_end(evaluate_command(*options), environment, folder)
    assert ended.returncode == 0, ended.stderr
    run = folder / "checkpoints" / "run"
    assert attempts_of(run) == 1
    return run


def test_the_model_answers_differently_so_that_equality_means_something(uninterrupted: Path) -> None:
    responses = {record["response"] for record in records(uninterrupted)}
    assert len(responses) > SAMPLES // 2


def test_killed_three_times_and_its_supervisor_once_the_run_equals_an_uninterrupted_one(
    options: list[str], uninterrupted: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    command = supervise_command(evaluate_command(*options), "--log-dir", str(tmp_path / "logs"))
    run = tmp_path / "checkpoints" / "run"

    first = subprocess.Popen(command, cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE)
    harm_at(run, 4, signal.SIGSEGV, first)
    harm_at(run, 16, signal.SIGKILL, first)
    # The supervisor dies, its child does not: the next supervisor must not let two of them write.
    first.kill()
    first.communicate()
    second = subprocess.Popen(command, cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE)
    harm_at(run, 36, signal.SIGKILL, second)
    _, complaint = second.communicate(timeout=300)

    assert second.returncode == 0, complaint.decode()
    assert b"Traceback" not in complaint
    assert [record["idx"] for record in records(run)] == list(range(SAMPLES))
    assert records(run) == records(uninterrupted)
    journal = events(tmp_path / "logs" / "job")
    assert len([event for event in journal if event["event"] == "attempt_started"]) >= 4
    assert {event["kind"] for event in journal if event.get("verdict") == "failure"} >= {"segfault", "sigkill"}
    assert all(not Path(f"/proc/{event['pid']}").exists() for event in journal if "pid" in event)


def test_chaos_from_the_supervisor_itself_changes_nothing_either(
    options: list[str], uninterrupted: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    chaos = ["--chaos", "segv,kill,term", "--chaos-every", "0.4", "--chaos-limit", "3"]
    ended = run_to_end(supervise_command(evaluate_command(*options), *chaos), environment, tmp_path)
    run = tmp_path / "checkpoints" / "run"
    assert ended.returncode == 0, ended.stderr
    assert "injected: 1 kill, 1 segv, 1 term" in ended.stderr
    assert f"{SAMPLES} of {SAMPLES}: lost 0, repeated 0" in ended.stdout
    assert records(run) == records(uninterrupted)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_within_seconds_saves_what_is_done_and_a_second_run_completes_it(
    number: signal.Signals,
    code: int,
    options: list[str],
    uninterrupted: Path,
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    run = tmp_path / "checkpoints" / "run"
    process = subprocess.Popen(evaluate_command(*options), cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE)
    harm_at(run, 8, number, process)
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == code, complaint.decode()
    assert signal.Signals(number).name in complaint.decode()
    assert b"Traceback" not in complaint
    done = len(records(run))
    assert 8 <= done < SAMPLES
    ended = run_to_end(evaluate_command(*options), environment, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"{done} of {SAMPLES} samples are done" in ended.stderr
    assert records(run) == records(uninterrupted)


def test_a_line_torn_by_the_crash_is_cut_off_and_its_sample_done_again(
    options: list[str], uninterrupted: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "checkpoints" / "run"
    process = subprocess.Popen(evaluate_command(*options), cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE)
    harm_at(run, 12, signal.SIGKILL, process)
    process.communicate()
    size = (run / "results.jsonl").stat().st_size
    os.truncate(run / "results.jsonl", size - 100)
    ended = run_to_end(evaluate_command(*options), environment, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert records(run) == records(uninterrupted)
    assert [path.name for path in (run / "attempts").glob("*.torn-tail")] == ["attempt-0002.torn-tail"]
