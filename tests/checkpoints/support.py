"""What the tests of the store share: a clock of their own, child processes, and an independent count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import CheckpointManager, Clock, Record

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class FakeTime:
    """Stands still until told; the wall clock and the monotonic one agree on how much has passed."""

    now_s: float = 0.0
    epoch_s: float = 1_700_000_000.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.epoch_s + self.now_s, monotonic=lambda: self.now_s)


def make_run(directory: Path, *idx: int, total: int | None = None, clock: Clock | None = None) -> CheckpointManager:
    """One attempt at the run `r` that records these samples (the even ones correct), closed again."""
    manager = CheckpointManager(directory, "r", clock=clock)
    with manager.open(total_samples=total) as run:
        for each in idx:
            run.record(Record(each, f"s{each}", is_correct=each % 2 == 0))
    return manager


def lines_of(manager: CheckpointManager) -> list[bytes]:
    return manager.layout.results.read_bytes().splitlines(keepends=True)


def files_of(manager: CheckpointManager) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in manager.layout.root.iterdir() if path.is_file()}


def recount(manager: CheckpointManager) -> dict[str, Any]:
    """Count the log as any JSON reader would, with none of the package's code."""
    rows = [json.loads(line) for line in lines_of(manager)]
    for line in lines_of(manager):
        body, _, crc = line.rpartition(b',"crc":"')
        assert crc == b'%08x"}\n' % zlib.crc32(body)
    assert len({row["idx"] for row in rows}) == len(rows)
    scored = sum(row["status"] == "success" for row in rows)
    correct = sum(row["is_correct"] for row in rows)
    return {
        "samples_processed": len(rows),
        "correct_count": correct,
        "errors": len(rows) - scored,
        "accuracy": correct / scored if scored else None,
        "status_counts": dict(Counter(row["status"] for row in rows)),
    }


def counted(manager: CheckpointManager) -> dict[str, Any]:
    """The store's own statistics, those that `recount` finds too."""
    stats = dict(manager.get_statistics())
    return {name: stats[name] for name in ("samples_processed", "correct_count", "errors", "accuracy", "status_counts")}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def python(*arguments: str | Path, code: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, on the code when there is some."""
    command = [sys.executable, *(["-c", code] if code else []), *map(str, arguments)]
    return subprocess.run(command, env=environment(), cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start Python on the code, its output piped."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
