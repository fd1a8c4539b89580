"""Starting the main job as users do, and harming it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

VOLATILE = {"timestamp", "attempt", "crc"}


def evaluate_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "evaluate", *options]


def supervise_command(command: Sequence[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "supervisor", "--retry-delay", "0.01", "--name", "job", *options, "--", *command]


def records(run: Path) -> list[dict[str, Any]]:
    """The records of a run without what may differ between two runs, in the order of the log."""
    lines = (run / "results.jsonl").read_bytes().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in VOLATILE} for line in lines]


def count(run: Path) -> int:
    """How many whole records there are at this moment."""
    try:
        return (run / "results.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def attempts_of(run: Path) -> int:
    value: int = json.loads((run / "checkpoint.json").read_bytes())["attempt"]
    return value


def events(folder: Path) -> list[dict[str, Any]]:
    """The journal of a supervisor."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 300.0) -> None:
    """Poll; fails with what was waited for."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"still waiting for {what} after {timeout_s:g} s"
        time.sleep(0.01)


def evaluator_pid(run: Path) -> int | None:
    """The process that holds the run's lock, from the lock file."""
    try:
        holder = json.loads((run / "run.lock").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    pid: int = holder["pid"]
    return pid if Path(f"/proc/{pid}").exists() else None


def harm_at(
    run: Path, done: int, number: signal.Signals, process: subprocess.Popen[bytes], timeout_s: float = 300.0
) -> None:
    """Send a signal to the evaluator as soon as the run has `done` records."""
    wait_for(
        lambda: process.poll() is not None or (count(run) >= done and evaluator_pid(run) is not None),
        f"{done} records in {run}",
        timeout_s,
    )
    assert process.poll() is None, f"the job ended with {process.returncode} before it had {done} records"
    pid = evaluator_pid(run)
    assert pid is not None
    os.kill(pid, number)
    # The next one may only be harmed once this one is gone.
    wait_for(lambda: process.poll() is not None or evaluator_pid(run) != pid, f"the death of {pid}")


def run_to_end(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, timeout_s: float = 600.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=False
    )
