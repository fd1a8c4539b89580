"""Taking the records of a run elsewhere, one in memory at a time, also while the run is being written."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO

from checkpoints.atomic import replace_with
from checkpoints.checkpoint import Checkpoint
from checkpoints.encoding import dump
from checkpoints.errors import CheckpointError, RunNotFound
from checkpoints.identity import RunIdentity
from checkpoints.manager import CheckpointManager
from checkpoints.record import Record

SORT_BYTES = 64 << 20  # of lines, sorted in memory at a time


class Format(StrEnum):
    """What a run can be exported to."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    LM_EVAL = "lm-eval"


class ExportRefused(CheckpointError):
    """The export was not made; nothing was overwritten."""


@dataclass(frozen=True)
class Source:
    """The records that a run has at one moment, to be read as often as need be.

    The log only grows, so its first `count` records stay what they are, also while a writer adds faster than they
    are read. They come in the order of the log, or by idx (`sort`; what exceeds the memory waits in `scratch`).
    """

    manager: CheckpointManager
    run: RunIdentity
    checkpoint: Checkpoint
    sort: bool = False
    scratch: Path | None = None

    @classmethod
    def of(cls, manager: CheckpointManager, *, sort: bool = False, scratch: Path | None = None) -> Source:
        """The run as it is now. Raises RunNotFound, and as CheckpointManager.load_checkpoint()."""
        checkpoint = manager.load_checkpoint()
        if checkpoint is None:
            raise RunNotFound(manager.layout.root)
        return cls(manager, RunIdentity.read(manager.layout.run), checkpoint, sort, scratch)

    @property
    def count(self) -> int:
        """How many records there are."""
        return self.checkpoint.samples_processed

    def records(self) -> Iterator[Record]:
        """Each of them, one in memory at a time; raises as as_written()."""
        yield from by_idx(self.as_written(), self.scratch) if self.sort else self.as_written()

    def as_written(self) -> Iterator[Record]:
        """As records(), never sorted.

        Raises CorruptRun; ExportRefused when the run was started anew meanwhile, or holds less than it says.
        """
        root, found = self.manager.layout.root, 0
        for record in islice(self.manager.records(), self.count):
            found += 1
            yield record
        if RunIdentity.read(self.manager.layout.run).run_id != self.checkpoint.run_id:
            raise ExportRefused(f"{root} was started anew while it was read: export it again")
        if found < self.count:
            raise ExportRefused(
                f"{root} has {self.count} records, and only {found} could be read; "
                f"`python -m checkpoints verify {root}` tells why"
            )


def by_idx(records: Iterator[Record], scratch: Path | None = None, chunk_bytes: int = SORT_BYTES) -> Iterator[Record]:
    """Sort records by idx in bounded memory: sorted chunks wait in unnamed files, which end with this process."""
    files: list[IO[bytes]] = []
    chunk: list[tuple[int, bytes]] = []
    size = 0
    try:
        for record in records:
            line = record.encode()
            chunk.append((record.idx, line))
            size += len(line)
            if size >= chunk_bytes:
                files.append(_spill(chunk, scratch))
                chunk, size = [], 0
        if not files:
            yield from (Record.decode(line) for _, line in sorted(chunk))
            return
        files.append(_spill(chunk, scratch))
        yield from heapq.merge(*[map(Record.decode, file) for file in files], key=lambda record: record.idx)
    finally:
        for file in files:
            file.close()


def _spill(chunk: list[tuple[int, bytes]], scratch: Path | None) -> IO[bytes]:
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - by_idx() closes it
    file.writelines(line for _, line in sorted(chunk))
    file.seek(0)
    return file


def fields_of(record: Record) -> dict[str, Any]:
    """A record as it is in the log, checksum left out."""
    return {
        "idx": record.idx,
        "sample_id": record.sample_id,
        "status": record.status.value,
        "ground_truth": record.ground_truth,
        "model_answer": record.model_answer,
        "is_correct": record.is_correct,
        "scores": record.scores,
        "timestamp": record.timestamp,
        **record.extra,
        "attempt": record.attempt,
    }


def write_jsonl(source: Source, file: BinaryIO) -> None:
    """One object per line."""
    for record in source.records():
        file.write(dump(fields_of(record)) + b"\n")


def place(path: Path, write: Callable[[BinaryIO], None], *, force: bool) -> None:
    """Make a file whole or not at all, and over an existing one only by `force`. Raises ExportRefused, OSError."""

    def checked(file: BinaryIO) -> None:
        write(file)
        refuse_unless_free(path, force=force)

    refuse_unless_free(path, force=force)
    replace_with(path, checked, shared=True)


def refuse_unless_free(path: Path, *, force: bool) -> None:
    """Raise ExportRefused when something is in the way."""
    if path.is_dir():
        raise ExportRefused(f"{path} is a folder: name a file")
    if path.exists() and not path.is_file():
        raise ExportRefused(f"{path} is not a plain file; use `-o -` to write to the standard output")
    if path.exists() and not force:
        raise ExportRefused(f"{path} exists already: add --force to replace it, or name another file with -o")
    if not path.parent.is_dir():
        raise ExportRefused(f"there is no folder {path.parent}")
    refuse_inside_a_run(path)


def refuse_inside_a_run(path: Path) -> None:
    """The folder of a run belongs to the store. Raises ExportRefused."""
    whole = path.resolve()
    if any((folder / "run.json").is_file() for folder in (whole, *whole.parents)):
        raise ExportRefused(f"{path} is inside the folder of a run: name a place outside of it with -o")
