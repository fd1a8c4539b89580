"""Crashing a traced writer at every moment, recovering from every state, and judging what came of it."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from checkpoints import CheckpointError, CheckpointManager, Record
from tests.crash import oracle
from tests.crash.oracle import Violated
from tests.crash.power import Disk
from tests.crash.power_trace import Change, Mark, Recording, Sync
from tests.crash.power_writer import GROUP, RUN, TOTAL, Job

SEED = 20261123
LOG = f"{RUN}/results.jsonl"

Rows = frozenset[tuple[int, int]]  # (idx, attempt)


@dataclass(frozen=True)
class Life:
    """One traced writer."""

    job: Job
    recording: Recording


@dataclass(frozen=True)
class Crash:
    """A state that the power failure may leave, what must be in it, and all that may be in it."""

    state: Mapping[str, bytes]
    promised: Rows
    written: frozenset[bytes]
    tail: bytes  # torn off before; to be kept, wherever
    when: str


def crashes(life: Life, limit: int, promised_before: Rows | None = None) -> Iterator[Crash]:
    """The states at every moment after which something is certain that was not: an acknowledgement, a sync."""
    before = life.recording.before
    rows = _rows_in(before.get(LOG, b""))
    promise = _Promise(life.job.mode, frozenset(rows) if promised_before is None else promised_before)
    written, tail = set(rows.values()), tail_of(before.get(LOG, b""))
    disk, log = Disk.holding(before), _inode_of_log(life.recording)
    for number, (call, step) in enumerate(life.recording.steps):
        if isinstance(step, Sync):
            for state in disk.states(limit, SEED + number):
                yield Crash(state, promise.kept, frozenset(written), tail, f"before step {number}, {step}")
        disk.apply(call, step)
        if isinstance(step, Change) and step.inode == log:
            written.update(_rows_in(step.data).values())
        promise.follow(step, log)
        if isinstance(step, Mark):
            for state in disk.states(limit, SEED + number):
                yield Crash(state, promise.kept, frozenset(written), tail, f"after step {number}, {step.text}")


class _Promise:
    """Which records the writer has been told to be safe from a power failure."""

    def __init__(self, mode: str, kept: Rows) -> None:
        self.kept = kept
        self._group = {"strict": 1, "group": GROUP, "process": sys.maxsize}[mode]
        self._pending: set[tuple[int, int]] = set()  # acknowledged, and not yet known to be synced
        self._count = 0  # acknowledged since the mode last asked for a sync

    def follow(self, step: object, log: int | None) -> None:
        if isinstance(step, Sync) and step.target == log:
            self._settle()
        if not isinstance(step, Mark):
            return
        said = json.loads(step.text)
        rows = {(idx, attempt) for idx, attempt in said.get("recorded", ())}
        self._pending |= rows
        self._count += len(rows)
        if "committed" in said or self._count >= self._group:
            self._settle()
            self._count = 0

    def _settle(self) -> None:
        self.kept |= self._pending
        self._pending.clear()


def _inode_of_log(recorded: Recording) -> int | None:
    if LOG in recorded.before:
        return list(recorded.before).index(LOG)
    names = [getattr(step, "names", {}) for _, step in recorded.steps]
    return next((each["results.jsonl"] for each in names if "results.jsonl" in each), None)


def _rows_in(log: bytes) -> dict[tuple[int, int], bytes]:
    found = {}
    for line in log.splitlines(keepends=True):
        if values := oracle.unsealed(line):
            found[values["idx"], values["attempt"]] = line
    return found


def tail_of(log: bytes) -> bytes:
    """Everything from the first line on that is damaged."""
    whole = itertools.takewhile(oracle.unsealed, log.splitlines(keepends=True))
    return log[sum(map(len, whole)) :]


# Recovering


def try_all(life: Life, memory: Path, promised_before: Rows | None = None, limit: int = 60) -> int:
    """Recover from all of them; returns how many they were."""
    tried: set[tuple[object, ...]] = set()
    for crash in crashes(life, limit, promised_before):
        key = (tuple(sorted(crash.state.items())), crash.promised)
        if key not in tried:
            tried.add(key)
            _check(crash, memory)
    return len(tried)


def _check(crash: Crash, memory: Path) -> None:
    """Recover, look, finish the run: all in this process."""
    root = Path(tempfile.mkdtemp(dir=memory))
    try:
        write_files(root, crash.state)
        _recover(root, crash)
    except (CheckpointError, Violated) as error:
        raise Violated(f"{crash.when}: {type(error).__name__}: {error}\n{_described(crash)}") from error
    finally:
        shutil.rmtree(root)


def _recover(root: Path, crash: Crash) -> None:
    folder = root / RUN
    log = oracle.log_bytes(folder)
    seen = CheckpointManager(root, RUN).load_checkpoint()
    attempts = {attempt for _, attempt in _rows_in(log)}
    found = CheckpointManager(root, RUN).open(total_samples=TOTAL)
    try:
        _check_attempts(folder)
        oracle.check_survived(folder, dict(crash.promised))
        oracle.check_once(folder)
        oracle.check_statistics(folder, dict(found.get_statistics()))
        oracle.check_checkpoint(folder)
        if seen is not None and seen.samples_processed != found.get_statistics().samples_processed:
            raise Violated("a reader before the recovery counted otherwise")
        if made_up := {row for row in _rows_in(oracle.log_bytes(folder)).values() if row not in crash.written}:
            raise Violated(f"nobody wrote {made_up}")
        _check_kept(folder, log, crash.tail)
        missing = [idx for idx in range(TOTAL) if not found.is_completed(idx)]
        if missing and found.attempt in attempts:
            raise Violated(f"attempt {found.attempt} has been there before")
        if missing:
            found.record(*(Record(idx, f"s{idx}") for idx in missing))
    finally:
        found.close()
    statistics = dict(CheckpointManager(root, RUN).get_statistics())
    oracle.check_finished(folder, TOTAL, dict(crash.promised), statistics)


def _check_attempts(folder: Path) -> None:
    """An attempt's file is there or not, never a part of it."""
    for path in (folder / "attempts").glob("attempt-*.json"):
        if not path.read_bytes().endswith(b"}\n"):
            raise Violated(f"{path} is not whole")


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Put these files below a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def _check_kept(folder: Path, log: bytes, tail: bytes) -> None:
    """What was cut off is kept: it may be all that is left of something."""
    now = oracle.log_bytes(folder)
    if not log.startswith(now):
        raise Violated("the recovery changed what it should only cut")
    kept = [path.read_bytes() for path in (folder / "attempts").glob("*.torn-tail*")]
    if (cut := log[len(now) :]) and cut not in kept:
        raise Violated(f"{len(cut)} bytes were cut off and not kept")
    if tail and not any(each.startswith(tail) for each in kept):
        raise Violated(f"{len(tail)} bytes that were cut off before are kept no more")


def _described(crash: Crash) -> str:
    files = "".join(f"\n  {name}: {len(content)} bytes" for name, content in sorted(crash.state.items()))
    return f"promised {sorted(crash.promised)}{files}\n{crash.state.get(LOG, b'')!r}"
