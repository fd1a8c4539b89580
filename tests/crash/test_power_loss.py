"""The power fails: every state of the disk that the kernel may leave behind is recovered from, and twice in a row."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from checkpoints import checkpoint, count, manager, record, recovery
from checkpoints.encoding import BadLine, load
from tests.crash.oracle import Violated
from tests.crash.power_check import LOG, SEED, Life, crashes, tail_of, try_all, write_files
from tests.crash.power_trace import files_below, recording, trace
from tests.crash.power_writer import BUGS, MODES, REST, TOTAL, WORK, Job, jobs_as_json, run, sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is such a thing: what is tried here is not the disk of this machine."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="power-", dir=where))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def lives(memory: Path) -> dict[str, Life]:
    """In each mode a run from its start, and one resumed over a torn tail; then one run for each seeded bug."""
    jobs = {f"{mode}, started": Job("", mode) for mode in MODES}
    jobs |= {f"{mode}, resumed": Job("", mode, work=REST) for mode in MODES}
    jobs["packed"] = Job("", "strict", work=(tuple(range(TOTAL)),), pack=True)
    jobs |= {name: Job("", bug.mode, name, REST if bug.resumed else WORK) for name, bug in BUGS.items()}
    torn = _torn_run(memory)
    return _traced(memory / "lives", jobs, {name: torn for name, job in jobs.items() if job.work != WORK})


@pytest.fixture(autouse=True)
def _no_syncs(lives: dict[str, Life], monkeypatch: pytest.MonkeyPatch) -> None:
    """The states are what matters here, and waiting for a disk changes none of them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)


@pytest.mark.parametrize("mode", MODES)
def test_a_power_failure_takes_nothing_that_the_mode_promised(lives: dict[str, Life], memory: Path, mode: str) -> None:
    assert try_all(lives[f"{mode}, started"], memory) > 200  # states


@pytest.mark.parametrize("mode", MODES)
def test_a_power_failure_while_a_torn_run_is_resumed_takes_nothing(
    lives: dict[str, Life], memory: Path, mode: str
) -> None:
    assert try_all(lives[f"{mode}, resumed"], memory) > 100


def test_a_power_failure_while_a_finished_run_is_packed_takes_nothing(lives: dict[str, Life], memory: Path) -> None:
    assert try_all(lives["packed"], memory) > 50


def test_a_second_power_failure_during_the_recovery_from_the_first_takes_nothing(
    lives: dict[str, Life], memory: Path
) -> None:
    first = [crash for mode in MODES for crash in crashes(lives[f"{mode}, started"], 12)]
    torn = random.Random(SEED).sample([crash for crash in first if tail_of(crash.state.get(LOG, b""))], 8)
    jobs = {str(number): Job("", "group", work=REST) for number in range(len(torn))}
    again = _traced(memory / "again", jobs, {str(number): crash.state for number, crash in enumerate(torn)})
    tried = [try_all(again[str(number)], memory, crash.promised, limit=16) for number, crash in enumerate(torn)]
    assert min(tried) > 50


# States from which everything recovers prove little while nothing is ever caught.

_LOST = r"acknowledged, but not there|the statistics say|CorruptRun: .*results\.jsonl, line"
_KEPT_NO_MORE = "that were cut off before are kept no more"
CAUGHT_BY = {
    "the log is never synced": _LOST,
    "a record counts before it is synced": _LOST,
    "the checkpoint is replaced before the log is synced": _LOST,
    "the checkpoint claims that all is synced": _LOST,
    "a temporary file is renamed before it is synced": r"run\.json.* not a description of a run|is not whole",
    "the run's folder is never synced": "there are results, but no run.json",
    "the torn tail is not cut off": _LOST,
    "the torn tail is cut off before its copy is synced": _KEPT_NO_MORE,
    "the copy of the torn tail has no durable name": _KEPT_NO_MORE,
    "an attempt begins without a durable file": "is not whole",
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_of_the_writer_is_caught(lives: dict[str, Life], memory: Path, bug: str) -> None:
    with pytest.raises(Violated, match=CAUGHT_BY[bug]):
        try_all(lives[bug], memory)


@contextmanager
def _checksums_ignored() -> Iterator[None]:
    def unseal(line: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = load(line)
            del values["crc"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadLine(str(error)) from None
        return values

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(count, "intact", return_value=True))
        stack.enter_context(mock.patch.object(record, "unseal", unseal))
        stack.enter_context(mock.patch.object(checkpoint, "unseal", unseal))
        yield


@contextmanager
def _holes_refused() -> Iterator[None]:
    real = recovery._replay_from

    def nothing_known(layout: Any, base: Any, progress: Any, fence: Any, synced_bytes: Any) -> Any:
        return real(layout, base, progress, fence, None)

    with mock.patch.object(recovery, "_replay_from", nothing_known):
        yield


RECOVERY_BUGS: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "the checkpoint is believed unseen": (lambda: mock.patch.object(recovery, "_keeps", return_value=True), _LOST),
    "checksums are ignored": (_checksums_ignored, _LOST),
    "a hole in what was never synced is refused": (_holes_refused, r"CorruptRun: .*results\.jsonl, line"),
    "the torn tail is not kept": (lambda: mock.patch.object(manager, "keep_torn_tail"), "were cut off and not kept"),
}


@pytest.mark.parametrize("bug", RECOVERY_BUGS)
def test_a_seeded_bug_of_the_recovery_is_caught(lives: dict[str, Life], memory: Path, bug: str) -> None:
    patch, caught_by = RECOVERY_BUGS[bug]
    with patch(), pytest.raises(Violated, match=caught_by):
        try_all(lives["process, started"], memory)


# Tracing


def _traced(folder: Path, jobs: Mapping[str, Job], before: Mapping[str, Mapping[str, bytes]]) -> dict[str, Life]:
    """Do the jobs in one process under strace, each on the files given for it."""
    folder.mkdir()
    placed = {}
    for number, (name, job) in enumerate(jobs.items()):
        placed[name] = replace(job, root=str(folder / str(number)))
        write_files(folder / str(number), before.get(name, {}))
    (folder / "jobs").write_text(jobs_as_json(list(placed.values())))
    try:
        command = [sys.executable, "-m", "tests.crash.power_writer", str(folder / "jobs")]
        calls = trace(command, folder / "trace", cwd=ROOT, timeout=120)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    except subprocess.CalledProcessError as error:
        if "ptrace" in (error.stderr or ""):
            pytest.skip(f"strace may not trace here: {error.stderr}")
        raise AssertionError(error.stderr) from error
    return {name: Life(job, recording(calls, Path(job.root), before.get(name, {}))) for name, job in placed.items()}


def _torn_run(memory: Path) -> dict[str, bytes]:
    """The files of a run whose writer died, all of it on the disk, in the middle of a line."""
    root = Path(tempfile.mkdtemp(dir=memory))
    run(Job(str(root), "process"))
    with (root / LOG).open("ab") as log:
        log.write(sample(8).encode(1_700_000_000.0, 1)[:-40])
    found = files_below(root)
    shutil.rmtree(root)
    return found
