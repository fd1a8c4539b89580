"""Bringing a damaged run back to what its valid records say, without losing a byte of what was there.

The order is what makes a crash harmless: everything that will be changed is copied aside first; then the checkpoint,
which is only a cache of the log, is removed; then the log is replaced, whole, by one rename. Before the rename it is
the old run, after it the repaired one, and repairing again finishes what is left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from checkpoints import epoch
from checkpoints.atomic import make_directory, replace_file, replace_with, sync_directory
from checkpoints.encoding import seal, unseal
from checkpoints.epoch import Epoch
from checkpoints.errors import CheckpointError, StorageFailed
from checkpoints.layout import RunLayout
from checkpoints.log import open_log
from checkpoints.progress import Progress
from checkpoints.report import Kind, Report
from checkpoints.verdict import Fate, verdicts
from checkpoints.verify import leftovers, log_path

_COPY_BYTES = 1 << 20
_DROPPED = {
    Kind.DAMAGED: "drop {} damaged line{}: their samples will be evaluated again",
    Kind.DUPLICATE: "drop {} duplicate{}: the first record of a sample is the one that counts",
    Kind.OUT_OF_RANGE: "drop {} record{} of samples that the run does not have",
    Kind.FENCED_OFF: "drop {} record{} of an attempt that had been taken over from",
}


class CannotRepair(CheckpointError):
    """What is damaged is kept nowhere else."""


@dataclass(frozen=True)
class Plan:
    """What a repair would do. `dropped` counts lines of the log, `torn_bytes` what is cut from its end."""

    dropped: Mapping[Kind, int]
    torn_bytes: int
    recount: bool
    reset_attempts: bool
    leftovers: int

    @property
    def rewrites(self) -> bool:
        """Whether the log is replaced."""
        return bool(self.dropped or self.torn_bytes)

    @property
    def removes_checkpoint(self) -> bool:
        """Whether checkpoint.json goes, to be counted anew from the log. A torn tail alone lies beyond what it says."""
        return self.recount or bool(self.dropped)

    def __bool__(self) -> bool:
        return bool(self.rewrites or self.removes_checkpoint or self.reset_attempts or self.leftovers)

    def steps(self) -> Iterator[str]:
        """The plan in words, a line each."""
        for kind, count in self.dropped.items():
            yield _DROPPED[kind].format(count, "" if count == 1 else "s")
        if self.torn_bytes:
            yield f"cut {self.torn_bytes} bytes off the end of the log: a record that was not written to its end"
        if self.removes_checkpoint:
            yield "remove checkpoint.json: the log is counted again when the run is next opened or looked at"
        if self.reset_attempts:
            yield "let attempts that began beyond the end of the log begin at its end"
        if self.leftovers:
            yield f"remove {self.leftovers} file{'' if self.leftovers == 1 else 's'} left by interrupted replacements"


def plan(report: Report) -> Plan:
    """Decide what to do about what was found. Raises CannotRepair for a damaged description of the run."""
    description = [each.what for each in report.faults if each.kind is Kind.DESCRIPTION]
    if description:
        raise CannotRepair(
            f"{report.name} cannot be repaired: run.json: {description[0]}. What it said is kept nowhere else: bring "
            "it back from a copy, or start the run again under another name"
        )
    counts = report.counts
    return Plan(
        dropped={kind: counts[kind] for kind in _DROPPED if kind in counts},
        torn_bytes=counts.get(Kind.TORN_TAIL, 0),
        recount=Kind.CHECKPOINT in counts or Kind.GAP in counts or (Kind.TOO_SHORT in counts and report.has_checkpoint),
        reset_attempts=Kind.BEYOND_THE_END in counts,
        leftovers=counts.get(Kind.LEFTOVER, 0),
    )


def perform(layout: RunLayout, total_samples: int | None, wanted: Plan, now: float) -> Path | None:
    """Carry the plan out, and return the folder with the old files, if any was read. The run's lock must be held.

    `now` is in seconds since the epoch. Raises StorageFailed; what was not replaced by then is as it was.
    """
    try:
        moved = _moved(layout, total_samples) if wanted.dropped or wanted.reset_attempts else []
        aside = _keep_aside(layout, wanted, [layout.attempt(each.attempt) for each in moved], now)
        if wanted.removes_checkpoint:
            layout.checkpoint.unlink(missing_ok=True)
            sync_directory(layout.root)
        if wanted.rewrites:
            replace_with(layout.results, lambda file: _write_kept(layout, total_samples, file))
        for each in moved:
            _restart_at(layout, each)
        _clear(layout)
    except OSError as error:
        raise StorageFailed("repair", layout.root, error) from error
    return aside


def _keep_aside(layout: RunLayout, wanted: Plan, attempts: list[Path], now: float) -> Path | None:
    """Copy what will be changed, durably, before anything is."""
    changed = [layout.checkpoint] if wanted.removes_checkpoint else []
    changed += [log_path(layout)] if wanted.rewrites else []
    changed += [path for path in leftovers(layout) if path == layout.compressed]
    files = [path for path in (*changed, *attempts) if path.exists()]
    if not files:
        return None
    name = time.strftime("repair-%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside, number = layout.attempts / name, 1
    while aside.exists():
        number += 1
        aside = layout.attempts / f"{name}-{number}"
    make_directory(aside)
    for path in files:
        _copy(path, aside / path.name)
    sync_directory(aside)
    return aside


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        while chunk := old.read(_COPY_BYTES):
            new.write(chunk)
        new.flush()
        os.fsync(new.fileno())


def _write_kept(layout: RunLayout, total_samples: int | None, file: BinaryIO) -> None:
    """The lines that count, byte for byte, in their order."""
    with open_log(layout.results) as log:
        for verdict in verdicts(layout, total_samples, Progress()):
            if verdict.unreadable:
                return
            line = log.readline()
            if verdict.fate is Fate.KEPT:
                file.write(line)


def _moved(layout: RunLayout, total_samples: int | None) -> list[Epoch]:
    """The attempts that begin at another byte once the dropped lines are gone, by where that will be.

    The same records as before then lie after their beginnings. Until a file is rewritten it says a later byte, which
    forbids less: nothing is lost should the repair be interrupted in between.
    """
    waiting = sorted(epoch.read(layout, epoch.numbers(layout)), key=lambda each: each.start_bytes)
    moved, kept_bytes = [], 0

    def settle(upto_bytes: float) -> None:
        while waiting and waiting[0].start_bytes <= upto_bytes:
            first = waiting.pop(0)
            if first.start_bytes != kept_bytes:
                moved.append(Epoch(first.attempt, kept_bytes))

    for verdict in verdicts(layout, total_samples, Progress()):
        settle(verdict.entry.start_bytes)
        if verdict.fate is Fate.KEPT:
            kept_bytes += verdict.entry.end_bytes - verdict.entry.start_bytes
    settle(float("inf"))
    return moved


def _restart_at(layout: RunLayout, moved: Epoch) -> None:
    path = layout.attempt(moved.attempt)
    about = unseal(path.read_bytes()) | {"start_bytes": moved.start_bytes}
    replace_file(path, seal(about))


def _clear(layout: RunLayout) -> None:
    """Remove what nobody reads; a compressed log too, now that the repaired one lies beside it."""
    found = list(leftovers(layout))
    for path in found:
        path.unlink()
    for folder in {path.parent for path in found}:
        sync_directory(folder)
