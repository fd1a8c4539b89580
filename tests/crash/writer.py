"""The program that is harmed: it forks writers on demand, each of which works on a run and tells what it was promised.

Commands come as JSON lines on stdin, what the writers tell goes as JSON lines to stdout, by writev(2): the store
does not use that, so a fault that is injected into the store's system calls never strikes the telling.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from checkpoints import CheckpointError, CheckpointManager, Durability, Record, Status
from tests.crash import mutations

RUN = "run"
Tell = Callable[..., None]


@dataclass(frozen=True)
class Job:
    """Resume the run `directory`/run and record what is missing of `idxs`, `batch` at a time.

    `spent` are system calls to make in vain first, in the background thread if so said: a fault that strikes the
    n-th call of a name then strikes another one of the store's. `size` is that of a response in bytes. `unlocked`:
    on a file system whose locks keep nobody out. `begins`: says which samples are in flight, as it should.
    `line_bytes`: how long each line is, by a response of the right size.
    """

    directory: str
    total: int = 10
    idxs: tuple[int, ...] | None = None
    batch: int = 1
    size: int = 40
    durability: str = "group"
    interval_s: float = 1.0
    commit_every: int = 0
    pause_s: float = 0.0
    size_limit_bytes: int | None = None
    measure: bool = False
    unlocked: bool = False
    begins: bool = True
    line_bytes: int = 0
    spent: dict[str, int] = field(default_factory=dict)
    spent_in_background: bool = False


_NO_FILE = 1_000_000  # a descriptor that nobody has
IN_VAIN: dict[str, Callable[[], object]] = {
    "openat": lambda: os.open("/nowhere", os.O_RDONLY),
    "write": lambda: os.write(_NO_FILE, b""),
    "pwrite64": lambda: os.pwrite(_NO_FILE, b"", 0),
    "fsync": lambda: os.fsync(_NO_FILE),
    "fdatasync": lambda: os.fdatasync(_NO_FILE),
    "ftruncate": lambda: os.ftruncate(_NO_FILE, 0),
    "rename": lambda: os.rename("/nowhere", "/nowhere"),  # noqa: PTH104
    "link": lambda: os.link("/nowhere", "/nowhere"),
    "unlink": lambda: os.unlink("/nowhere"),  # noqa: PTH108
    "mkdir": lambda: os.mkdir("/proc"),  # noqa: PTH102
}


def sample(idx: int, size: int) -> Record:
    """What evaluating a sample gives, always the same."""
    status = Status.ERROR_GENERATION if idx % 7 == 6 else Status.SUCCESS
    correct = status is Status.SUCCESS and idx % 2 == 0
    return Record(
        idx,
        f"s{idx}",
        status=status,
        ground_truth=idx,
        model_answer=idx if correct else None,
        is_correct=correct,
        scores={"exact_match": float(correct)},
        timestamp=1e9 + idx,
        extra={"response": "x" * size},
    )


def sample_of(idx: int, job: Job) -> Record:
    """The sample as this job makes it, in an attempt whose number has one digit."""
    if not job.line_bytes:
        return sample(idx, job.size)
    return sample(idx, job.line_bytes - len(sample(idx, 0).encode(0.0, 1)))


def work(job: Job, tell: Tell) -> None:
    """Do the job, telling of each acknowledged record, and of the statistics before and after."""
    how = {"process": Durability.process(), "strict": Durability.strict()}.get(
        job.durability, Durability.group(interval_s=job.interval_s)
    )
    manager = CheckpointManager(job.directory, RUN, durability=how)
    before = manager.load_checkpoint() and dict(manager.get_statistics())
    read_before = _read_bytes() if job.measure else 0
    with manager.open(total_samples=job.total) as run:
        rescanned = _read_bytes() - read_before if job.measure else 0
        tell(event="opened", attempt=run.attempt, before=before, read_bytes=rescanned)
        left = [idx for idx in job.idxs or range(job.total) if not run.is_completed(idx)]
        for number, at in enumerate(range(0, len(left), job.batch), start=1):
            _record(run, left[at : at + job.batch], job, tell)
            if job.commit_every and number % job.commit_every == 0:
                run.commit()
            time.sleep(job.pause_s)
        after = dict(run.get_statistics())
    tell(event="finished", statistics=after)


def _record(run: CheckpointManager, idxs: list[int], job: Job, tell: Tell) -> None:
    try:
        if job.begins:
            run.begin(idxs)
        run.record(*(sample_of(idx, job) for idx in idxs))
    except CheckpointError:
        # Whoever catches the error and goes on must not be told that all is well.
        try:
            run.record(*(sample(idx, 1) for idx in idxs))
        except CheckpointError:
            raise
        tell(event="acknowledged_after_failure", idxs=idxs)
        raise
    tell(event="acknowledged", idxs=idxs, attempt=run.attempt)


def _read_bytes() -> int:
    """What this process has read so far, from the page cache or not."""
    return int(Path("/proc/self/io").read_text().split()[1])


def _prepare(job: Job) -> None:
    if job.size_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.size_limit_bytes, job.size_limit_bytes))
    if job.unlocked:
        mutations.apply("locks_keep_nobody_out")
    if job.spent_in_background:
        run = threading.Thread.run

        def spend_then_run(thread: threading.Thread) -> None:
            _spend(job.spent)
            run(thread)

        threading.Thread.run = spend_then_run  # type: ignore[method-assign, assignment]
    else:
        _spend(job.spent)


def _spend(spent: dict[str, int]) -> None:
    for name, count in spent.items():
        for _ in range(count):
            try:
                IN_VAIN[name]()
            except OSError:
                continue


def child(job: Job) -> None:
    """Be a writer. Never returns."""
    pid = os.getpid()

    def tell(**what: Any) -> None:
        os.writev(1, [json.dumps({"pid": pid, **what}).encode() + b"\n"])

    try:
        _prepare(job)
        work(job, tell)
    except CheckpointError as error:
        tell(event="refused", error=type(error).__name__, message=str(error)[:500])
    except BaseException:
        tell(event="broke", error=traceback.format_exc()[-1500:])
    os._exit(0)


def serve() -> None:
    """Start a writer for each job on stdin, wait for one when told a PID (0 is nobody), until stdin ends."""
    with tempfile.TemporaryDirectory() as scratch:  # so that nothing is imported for the first time in a writer
        work(Job(scratch, 3, commit_every=1, measure=True), lambda **what: None)
    mutations.apply(os.environ.get("CRASH_MUTATION", ""))
    os.writev(1, [json.dumps({"pid": os.getpid(), "event": "ready"}).encode() + b"\n"])
    for line in sys.stdin:
        command = json.loads(line)
        if isinstance(command, dict):
            pid = os.fork()
            if pid == 0:
                child(Job(**command))
            answer = {"pid": pid, "event": "started"}
        else:
            status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]) if command else 0
            answer = {"pid": command, "event": "ended", "status": status}
        os.writev(1, [json.dumps(answer).encode() + b"\n"])


def command_of(job: Job) -> str:
    """The job as a line for stdin."""
    return json.dumps(asdict(job)) + "\n"


if __name__ == "__main__":
    serve()
