"""Making a run of what an older system left. Nothing is guessed: what is not consistent is told, and not imported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from checkpoints.completed import CompletedSet
from checkpoints.encoding import dump
from checkpoints.legacy_row import ID_NAMES, BadRow, to_record
from checkpoints.legacy_source import ImportRefused, Source
from checkpoints.manager import CheckpointManager
from checkpoints.record import Record

_BATCH = 500
_SHOWN = 5


@dataclass(frozen=True)
class Plan:
    """What will be imported, once all of it has been looked at."""

    source: Source
    id_name: str
    shift: int  # taken from each id to make it an idx
    rows: int
    total_samples: int | None
    notes: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """The records to be made."""
        for _, row in self.source.rows(lambda _: None):
            yield to_record(row, self.id_name, self.shift)


@dataclass
class _Survey:
    """Everything that has to be known of the rows before the first is imported."""

    ids: CompletedSet = field(default_factory=CompletedSet)
    count: int = 0
    correct: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, where: str, row: Mapping[str, Any], id_name: str) -> None:
        try:
            record = to_record(row, id_name, 0)
            self.ids.add(record.idx)
        except (BadRow, ValueError, TypeError) as error:
            text = f"{id_name} {row[id_name]} is there twice" if "already recorded" in str(error) else str(error)
            self.problems.append(f"{where}: {text}")
            return
        self.count += 1
        self.correct += record.is_correct

    @property
    def lowest(self) -> int:
        return next(self.ids.ranges())[0]

    @property
    def highest(self) -> int:
        return list(self.ids.ranges())[-1][1]


def plan(source: Source) -> Plan:
    """Look at all of the source. Raises ImportRefused, with everything that is wrong with it."""
    found = _Survey()
    id_name = _id_name(source)
    unseen = _by_id(source, id_name, found)
    after_checkpoint = 0
    for where, row in source.rows(found.notes.append):
        found.add(where, row, id_name)
        if source.results is None or not source.embedded or id_name not in row:
            continue
        inside = unseen.pop(str(row[id_name]), None)
        if inside is None:
            after_checkpoint += 1
        elif inside != row:
            found.problems.append(f"{where}: {id_name} {row[id_name]} is another result in the checkpoint")
    if unseen:
        found.problems.append(f"{len(unseen)} result(s) of the checkpoint are not in {source.results}")
    if not found.count and not found.problems:
        found.problems.append("there are no results")
    if not found.problems:
        _compare(source, found, after_checkpoint)
    _refuse(source, found)
    total = total_samples(source.fields)
    shift, why = base_of(id_name, found.ids, source.fields.get("completed_indices"), total)
    found.notes.append(why)
    if total is not None and found.highest - shift >= total:
        found.problems.append(f"{id_name} {found.highest} is beyond the {total} samples of the checkpoint")
    _refuse(source, found)
    return Plan(source, id_name, shift, found.count, total, tuple(found.notes))


def _id_name(source: Source) -> str:
    for _, row in source.rows(lambda _: None):
        for name in ID_NAMES:
            if name in row:
                return name
        raise ImportRefused(f"the first result has none of {', '.join(ID_NAMES)}: nothing says which sample it is")
    return ID_NAMES[0]


def _by_id(source: Source, id_name: str, found: _Survey) -> dict[str, Mapping[str, Any]]:
    """The embedded rows, to be compared with those of the file beside."""
    if source.results is None:
        return {}
    rows = {str(row.get(id_name)): row for row in source.embedded}
    if len(rows) != len(source.embedded):
        found.problems.append(f"the checkpoint holds a result twice, or one without {id_name}")
    return rows


def _compare(source: Source, found: _Survey, after_checkpoint: int) -> None:
    """What the checkpoint says of its results must hold, as far as it speaks of the same results."""
    fields = source.fields
    ahead = after_checkpoint
    claims = {"completed_count": found.count, "correct_count": found.correct}
    if isinstance(fields.get("completed_count"), int) and source.results is not None and not source.embedded:
        ahead = max(0, found.count - fields["completed_count"])
    last = fields.get("last_completed_idx")
    if isinstance(last, int):
        claims["last_completed_idx"] = found.highest
        if source.results is not None and not source.embedded:
            ahead = sum(max(0, end - max(start, last + 1) + 1) for start, end in found.ids.ranges())
    if ahead:
        found.notes.append(f"the results are {ahead} ahead of the checkpoint, as a crash leaves them: all are imported")
        return
    for name, actual in claims.items():
        said = fields.get(name)
        if said is not None and said != actual:
            found.problems.append(f"the checkpoint says {name} {said!r}, its results say {actual}")


def _refuse(source: Source, found: _Survey) -> None:
    if found.problems:
        shown = "".join(f"\n  {problem}" for problem in found.problems[:_SHOWN])
        more = f"\n  and {len(found.problems) - _SHOWN} more" if len(found.problems) > _SHOWN else ""
        raise ImportRefused(
            f"{source.results or source.checkpoint} is not consistent; nothing was imported:{shown}{more}"
        )


def total_samples(fields: Mapping[str, Any]) -> int | None:
    """How many samples there were to be, where the checkpoint says so."""
    metadata = fields.get("metadata")
    for place in (fields, metadata if isinstance(metadata, Mapping) else {}):
        for name in ("total_samples", "total_questions"):
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def base_of(id_name: str, ids: CompletedSet, completed: object, total: int | None) -> tuple[int, str]:
    """What to take from each id, and why, in words. Raises ImportRefused.

    `idx` counts from 0 by definition. Another id counts from 1 when the checkpoint's `completed_indices` are one
    less, when the highest is the number of samples, or when they are 1..n without a gap.
    """
    ranges = list(ids.ranges())
    lowest, highest, n = ranges[0][0], ranges[-1][1], len(ids)
    if isinstance(completed, list):
        listed = {each for each in completed if isinstance(each, int)}
        if len(listed) != len(completed):
            raise ImportRefused("`completed_indices` holds an index twice, or what is no index. Nothing was imported")
        shifted = all(idx - 1 in listed for start, end in ranges for idx in range(start, end + 1))
        same = all(idx in listed for start, end in ranges for idx in range(start, end + 1))
        if len(listed) != n or not (same or shifted):
            raise ImportRefused("`completed_indices` and the results name different samples. Nothing was imported")
        if shifted:
            return 1, f"{id_name} counts from 1, as `completed_indices` counts from 0: idx is {id_name} - 1"
    if id_name == "idx" or lowest != 1:
        return 0, f"idx is {id_name} as it is"
    if highest == total or (len(ranges) == 1 and highest == n):
        return 1, f"{id_name} counts from 1: idx is {id_name} - 1"
    return 0, f"idx is {id_name} as it is: with gaps from 1 on, nothing tells whether it counts from 0 or from 1"


def identity_of(source: Source) -> dict[str, Any]:
    """What makes the run what it is: the source's own description and content."""
    files = {"sha256": source.checkpoint, "results_sha256": source.results}
    about = {name: source.fields[name] for name in ("config", "metadata", "version") if name in source.fields}
    try:
        about = orjson.loads(dump(about))
    except ValueError as error:
        raise ImportRefused(f"its config or metadata cannot be kept: {error}. Nothing was imported") from None
    return {"imported_from": {**about, **{name: _sha256(path) for name, path in files.items() if path is not None}}}


def provenance_of(source: Source) -> dict[str, Any]:
    """For the reader of run.json."""
    files = [path.name for path in (source.checkpoint, source.results) if path is not None]
    times = {
        name: source.fields[name] for name in ("timestamp", "start_time", "last_update_time") if name in source.fields
    }
    return {"imported_files": files, **({"imported_times": times} if times else {})}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(plan: Plan, manager: CheckpointManager) -> int:
    """Make the run, or go on with one that an import of the same source began; returns the records written.

    Raises what CheckpointManager.open() and record() raise.
    """
    source = plan.source
    written = 0
    opened = manager.open(
        total_samples=plan.total_samples, identity=identity_of(source), provenance=provenance_of(source)
    )
    with opened as run:
        batch: list[Record] = []
        for record in plan.records():
            if run.is_completed(record.idx):
                continue
            batch.append(record)
            if len(batch) >= _BATCH:
                run.record(*batch)
                written, batch = written + len(batch), []
        if batch:
            run.record(*batch)
    return written + len(batch)
