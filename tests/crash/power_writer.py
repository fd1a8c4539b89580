"""A real writer that says in a file of its own what was acknowledged to it, also with seeded bugs. It is traced."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from checkpoints import CheckpointManager, Durability, Record, Retention, Status, epoch
from checkpoints.log import LogWriter

RUN = "r"
TOTAL = 17
GROUP = 4
MODES = {
    "process": Durability.process(),
    "group": Durability.group(records=GROUP, interval_s=600.0),
    "strict": Durability.strict(),
}
# Out of order, some in one call; None is a commit. What is missing is left for the one who resumes.
WORK: tuple[tuple[int, ...] | None, ...] = ((3,), (0,), (1, 2), (9,), (5,), None, (4,), (12, 11), (6,), (7,))
REST: tuple[tuple[int, ...] | None, ...] = ((8,), (10, 13), None, (14,))


@dataclass(frozen=True)
class Job:
    """One writer's life: where, how durable, with which seeded bug."""

    root: str
    mode: str = "group"
    bug: str = ""
    work: tuple[tuple[int, ...] | None, ...] = WORK
    pack: bool = False  # what it has finished


def sample(idx: int) -> Record:
    """Sizes from a part of a sector to several; every third fails, the rest has scores."""
    if idx % 3 == 2:
        return Record(idx, f"s{idx}", status=Status.ERROR_GENERATION, extra={"error": "out of memory"})
    text = f"step {idx}; " * (120 if idx % 4 == 1 else 25)
    correct = idx % 2 == 0
    return Record(idx, f"s{idx}", model_answer=idx, is_correct=correct, scores={"f1": idx / 8}, extra={"text": text})


def run(job: Job) -> None:
    """Do the work, and mark every acknowledgement."""
    descriptor = os.open(f"{job.root}/marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def mark(**what: Any) -> None:
        os.write(descriptor, json.dumps(what).encode() + b"\n")

    manager = CheckpointManager(
        job.root, RUN, durability=MODES[job.mode], retention=Retention(compress_finished=job.pack)
    )
    manager.open(total_samples=TOTAL)
    mark(opened=manager.attempt)
    todo = [None if batch is None else [i for i in batch if not manager.is_completed(i)] for batch in job.work]
    for batch in todo:
        if batch is None:
            manager.commit()
            mark(committed=True)
        elif batch:
            manager.begin(batch)
            manager.record(*map(sample, batch))
            mark(recorded=[[idx, manager.attempt] for idx in batch])
    manager.close()
    mark(committed=True)
    os.close(descriptor)


# Seeded bugs


def _path(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _skipping(name: str, unwanted: Callable[[str], bool]) -> AbstractContextManager[Any]:
    """A sync that does nothing for some files, by the path of the descriptor."""
    real = getattr(os, name)

    def patched(descriptor: int, *rest: Any) -> Any:
        if not unwanted(_path(descriptor)):
            return real(descriptor, *rest)
        return None

    return mock.patch.object(os, name, patched)


def _ends(suffix: str) -> Callable[[str], bool]:
    return lambda path: path.endswith(suffix)


_is_log = _ends("/results.jsonl")


def _create_lazily(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


@contextmanager
def _every_other_sync() -> Iterator[None]:
    """The log is synced with the next record but one, not before the record counts."""
    real, calls = os.fdatasync, count()

    def patched(descriptor: int) -> None:
        if next(calls) % 2:
            real(descriptor)

    with mock.patch.object(os, "fdatasync", patched):
        yield


@contextmanager
def _checkpoint_first() -> Iterator[None]:
    """The log is synced only after the checkpoint that says so was replaced."""
    real_data, real, owed = os.fdatasync, os.fsync, list[int]()

    def late(descriptor: int) -> None:
        owed.append(descriptor)

    def then(descriptor: int) -> None:
        real(descriptor)
        if owed and _path(descriptor).endswith(f"/{RUN}"):
            real_data(owed.pop())
            owed.clear()

    with mock.patch.object(os, "fdatasync", late), mock.patch.object(os, "fsync", then):
        yield


@contextmanager
def _everything_called_synced() -> Iterator[None]:
    """The checkpoint claims that all of the log is on the disk, always."""
    claim = property(lambda self: self.offset_bytes, lambda self, value: None)
    with mock.patch.object(LogWriter, "synced_bytes", claim, create=True):
        yield


@dataclass(frozen=True)
class Bug:
    """How it is brought about, and when it does harm."""

    patch: Callable[[], AbstractContextManager[Any]]
    mode: str = "strict"
    resumed: bool = False


BUGS: Mapping[str, Bug] = {
    "the log is never synced": Bug(lambda: _skipping("fdatasync", _is_log)),
    "a record counts before it is synced": Bug(_every_other_sync),
    "the checkpoint is replaced before the log is synced": Bug(_checkpoint_first, "group"),
    "the checkpoint claims that all is synced": Bug(_everything_called_synced, "group"),
    "a temporary file is renamed before it is synced": Bug(lambda: _skipping("fsync", _ends(".tmp"))),
    "the run's folder is never synced": Bug(lambda: _skipping("fsync", _ends(f"/{RUN}"))),
    "the torn tail is not cut off": Bug(lambda: _skipping("ftruncate", _is_log), resumed=True),
    "the torn tail is cut off before its copy is synced": Bug(
        lambda: _skipping("fsync", _ends(".torn-tail")), resumed=True
    ),
    "the copy of the torn tail has no durable name": Bug(lambda: _skipping("fsync", _ends("/attempts")), resumed=True),
    "an attempt begins without a durable file": Bug(lambda: mock.patch.object(epoch, "create_file", _create_lazily)),
}


def main() -> None:
    """Run the jobs given as JSON, one after the other in one process."""
    for values in json.loads(Path(sys.argv[1]).read_text()):
        work = tuple(None if batch is None else tuple(batch) for batch in values.pop("work"))
        job = Job(**values, work=work)
        with ExitStack() as stack:
            if job.bug:
                stack.enter_context(BUGS[job.bug].patch())
            run(job)


def jobs_as_json(jobs: list[Job]) -> str:
    """What main() reads."""
    return json.dumps([asdict(job) for job in jobs])


if __name__ == "__main__":
    main()
