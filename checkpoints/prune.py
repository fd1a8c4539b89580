"""Removing old runs, and what crashes left in runs that stay.

Only folders that hold a run.json are touched, never a live one, and no symbolic link is followed. A run that goes is
first renamed to `.<run>.pruned`: a prune that is killed leaves no half run under a run's name, and the next one
removes what is left.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from checkpoints.atomic import sync_directory
from checkpoints.errors import CheckpointError, RunLocked
from checkpoints.layout import RunLayout
from checkpoints.lock import RunLock
from checkpoints.overview import RunRow, RunState, describe_run
from checkpoints.retention import superfluous_reports

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_LEFTOVER = re.compile(r"\..+\.pruned")


class PruneRefused(CheckpointError):
    """Nothing was removed."""


@dataclass(frozen=True)
class Policy:
    """Which runs go: those not written for `older_than_s` seconds that are not among the `keep_last` newest.

    None is no condition; with neither, no run goes. `unfinished` runs stay unless this says otherwise.
    """

    older_than_s: float | None = None
    keep_last: int | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class Reports:
    """Which of what crashes left behind goes: all `torn_tails`, and what exceeds the newest `keep` of each kind."""

    torn_tails: bool = False
    keep: int | None = None


@dataclass(frozen=True)
class Selection:
    """What goes: what earlier prunes left, whole runs, and files of runs that stay."""

    leftovers: tuple[Path, ...]
    runs: tuple[Path, ...]
    files: Mapping[Path, Sequence[Path]]

    def paths(self) -> list[Path]:
        """All of it, for the user to see."""
        return [*self.leftovers, *self.runs, *[path for paths in self.files.values() for path in paths]]


def parse_age(text: str) -> float:
    """`30d`, `12h`, `90m`, `2w`, `45s` in seconds. Raises ValueError."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"an age is a number and one of s, m, h, d, w, as in 30d, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def choose(rows: Sequence[RunRow], policy: Policy, now: float) -> list[RunRow]:
    """The runs that go, oldest first. Live and damaged runs are never among them."""
    if policy.older_than_s is None and policy.keep_last is None:
        return []
    states = {RunState.FINISHED, *([RunState.STOPPED] if policy.unfinished else [])}
    eligible = [(row.last_update_time, row.name, row) for row in rows if row.state in states and row.last_update_time]
    oldest_first = sorted(eligible, key=lambda each: each[:2])
    going = oldest_first[: max(0, len(oldest_first) - (policy.keep_last or 0))]
    limit = None if policy.older_than_s is None else now - policy.older_than_s
    return [row for updated, _, row in going if limit is None or updated < limit]


def runs_in(folder: Path) -> list[RunRow]:
    """The runs of a folder, symbolic links and hidden folders left out. Raises OSError."""
    return [describe_run(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".") and is_run(path)]


def is_run(path: Path) -> bool:
    """Whether this is a real folder with a run in it."""
    return not path.is_symlink() and (path / "run.json").is_file()


def leftovers(folder: Path) -> Iterator[Path]:
    """What earlier prunes did not get to the end of: still with its run.json, or empty already."""
    for path in sorted(folder.iterdir()):
        is_ours = _LEFTOVER.fullmatch(path.name) and not path.is_symlink() and path.is_dir()
        if is_ours and (is_run(path) or not any(path.iterdir())):
            yield path


def size_of(path: Path) -> int:
    """Bytes of all files below a folder, or of a file; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total


def remove_run(layout: RunLayout, policy: Policy, now: float) -> None:
    """Remove a run under its lock, if it is still one that may go.

    Raises RunLocked; PruneRefused when it has been written since it was looked at; StorageFailed, OSError.
    """
    if not is_run(layout.root):
        raise PruneRefused(f"{layout.root} is no run any more")
    lock = RunLock(layout.lock)
    lock.acquire()
    try:
        row = _as_if_released(describe_run(layout.root))
        if not choose([row], Policy(policy.older_than_s, 0, policy.unfinished), now):
            raise PruneRefused(f"{layout.root} has been written meanwhile, and stays")
        hidden = layout.root.with_name(f".{layout.root.name}.pruned")
        layout.root.rename(hidden)
        sync_directory(hidden.parent)
        remove_leftover(hidden)
    finally:
        lock.release()


def _as_if_released(row: RunRow) -> RunRow:
    """The lock that makes this run look live is ours."""
    if row.state is not RunState.RUNNING or row.statistics is None:
        return row
    state = RunState.FINISHED if row.statistics.finished else RunState.STOPPED
    return RunRow(row.name, state, row.statistics, row.last_update_time, row.problem)


def remove_leftover(hidden: Path) -> None:
    """Remove a renamed run, its run.json last, so that what a kill leaves is still known to be a run's.

    Two prunes may do so at once. Raises OSError.
    """
    last = hidden / "run.json"
    for name in os.listdir(hidden):  # noqa: PTH208 - all at once, before any of it goes
        path = hidden / name
        if path == last:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # what could not be removed makes rmdir() below fail
        else:
            path.unlink(missing_ok=True)
    last.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        hidden.rmdir()


def remove_reports(layout: RunLayout, paths: Sequence[Path]) -> None:
    """Remove crash reports and torn tails under the run's lock. Raises RunLocked, StorageFailed, OSError."""
    lock = RunLock(layout.lock)
    lock.acquire()
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    finally:
        lock.release()


def reports_to_go(layout: RunLayout, reports: Reports) -> list[Path]:
    """The files in a run's attempts/ that go."""
    found = set(superfluous_reports(layout, 0, "torn-tail")) if reports.torn_tails else set()
    if reports.keep is not None:
        found |= set(superfluous_reports(layout, reports.keep))
    return sorted(found)


def select(folder: Path, policy: Policy, reports: Reports, now: float) -> Selection:
    """Look at a folder of runs. Raises PruneRefused when it is none, OSError."""
    if not folder.is_dir():
        raise PruneRefused(f"there is no folder {folder}")
    rows = runs_in(folder)
    runs = tuple(folder / row.name for row in choose(rows, policy, now))
    staying = [folder / row.name for row in rows if row.state is not RunState.RUNNING]
    files = {path: reports_to_go(RunLayout(path), reports) for path in staying if path not in runs}
    return Selection(tuple(leftovers(folder)), runs, {path: found for path, found in files.items() if found})


def carry_out(selection: Selection, policy: Policy, now: float) -> list[CheckpointError]:
    """Remove what was selected; returns why some of it was kept after all. Raises StorageFailed, OSError."""
    for path in selection.leftovers:
        remove_leftover(path)
    kept: list[CheckpointError] = []
    for path in (*selection.runs, *selection.files):
        try:
            if path in selection.files:
                remove_reports(RunLayout(path), selection.files[path])
            else:
                remove_run(RunLayout(path), policy, now)
        except (RunLocked, PruneRefused) as error:
            kept.append(error)
    return kept
