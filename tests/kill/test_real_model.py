"""The main job on a real language model and real GSM8K problems."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import GSM8K
from tests.kill.support import evaluate_command, events, harm_at, records, run_to_end, supervise_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not GSM8K.is_dir(), reason=f"GSM8K is not in {GSM8K}"),
]

LIMIT = 32


def test_smollm2_on_gsm8k_killed_four_times_equals_an_uninterrupted_run(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    """Batches of 8: killed by SIGSEGV and SIGKILL from outside, and once together with its supervisor."""
    environment = {name: value for name, value in environment.items() if name != "OMP_NUM_THREADS"}
    command = evaluate_command(
        "--task", "gsm8k", "--data", str(GSM8K / "test.jsonl"), "--limit", str(LIMIT),
        "--num-fewshot", "2", "--max-new-tokens", "128", "--batch-size", "8", "--run-name", "run",
    )  # fmt: skip
    plain = run_to_end(command, environment, _folder(tmp_path / "plain"), timeout_s=900)
    assert plain.returncode == 0, plain.stderr

    harmed, supervised = _folder(tmp_path / "harmed"), supervise_command(command)
    run = harmed / "checkpoints" / "run"
    first = subprocess.Popen(supervised, cwd=harmed, env=environment, stderr=subprocess.PIPE)
    harm_at(run, 0, signal.SIGSEGV, first, timeout_s=600)
    harm_at(run, 8, signal.SIGKILL, first, timeout_s=600)
    first.kill()
    first.communicate()
    second = subprocess.Popen(supervised, cwd=harmed, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    harm_at(run, 16, signal.SIGSEGV, second, timeout_s=600)
    output, complaint = second.communicate(timeout=900)

    assert second.returncode == 0, complaint.decode()
    assert [record["idx"] for record in records(run)] == list(range(LIMIT))
    assert records(run) == records(tmp_path / "plain" / "checkpoints" / "run")
    # Not of the run itself: a process that dies while it opens the run may not have made it an attempt of its own.
    assert len([event for event in events(harmed / "logs" / "job") if event["event"] == "attempt_started"]) >= 4
    accuracy = [line for line in plain.stdout.splitlines() if line.startswith("accuracy")]
    assert accuracy == [line for line in output.decode().splitlines() if line.startswith("accuracy")]
    print(accuracy[0])


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
