"""All runs of a folder at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from checkpoints.errors import CheckpointError
from checkpoints.layout import RunLayout
from checkpoints.lock import is_held
from checkpoints.manager import CheckpointManager
from checkpoints.statistics import Statistics


class RunState(StrEnum):
    """What a run is doing, as far as its files tell."""

    FINISHED = "finished"
    RUNNING = "running"
    STOPPED = "stopped"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class RunRow:
    """One run. `statistics` and `last_update_time` are None, and `problem` is set, when it cannot be read."""

    name: str
    state: RunState
    statistics: Statistics | None
    last_update_time: float | None
    problem: str = ""


def list_runs(checkpoint_dir: Path) -> Iterator[RunRow]:
    """The runs of a folder by name; other folders are passed over. A damaged run does not hide the others."""
    for path in sorted(checkpoint_dir.iterdir()):
        if not path.name.startswith(".") and RunLayout(path).run.is_file():
            yield describe_run(path)


def describe_run(path: Path) -> RunRow:
    """One run's row."""
    manager = CheckpointManager(path.parent, path.name)
    try:
        checkpoint = manager.load_checkpoint()
        statistics = manager.get_statistics()
    except (CheckpointError, OSError) as error:
        return RunRow(path.name, RunState.DAMAGED, None, None, str(error))
    state = RunState.STOPPED
    if is_held(manager.layout.lock):
        state = RunState.RUNNING
    elif statistics.finished:
        state = RunState.FINISHED
    return RunRow(path.name, state, statistics, checkpoint.last_update_time if checkpoint else None)
