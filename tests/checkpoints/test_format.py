"""Runs of the past can be read, resumed and finished: `format-1/` holds two, as they were left on the disk.

`first/` was written by the first release (no checksum in run.json, no attempt files, a checkpoint without what was
added since), `current/` by the one that fenced attempts off and kept what is in flight. Both were left unfinished
after two attempts, the first of which died. A new format version adds a folder beside this one, and a reader; the
files that are here never change.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from checkpoints import CheckpointManager, Record, Status, UnsupportedFormat
from checkpoints.encoding import seal, unseal
from checkpoints.identity import RunIdentity
from checkpoints.recovery import read_checkpoint, replay
from checkpoints.verify import verify
from tests.checkpoints.support import FakeTime, counted, files_of, recount

FOLDER = Path(__file__).parent / "format-1"
NAMES = ["current", "first"]
IDENTITY = {
    "task": "gsm8k",
    "model": {"name": "größe-1", "revision": None},
    "seed": 42,
    "stop": ["\n\n", "問"],
    "temperature": 0.0,
}
RECORDS = [
    Record(0, "s0", Status.SUCCESS, 18, 18, True, {"exact_match": 1.0, "f1": 0.1}, 1_700_000_000.25, 1,
           {"response": "#### 18", "seconds": 0.5}),
    Record(2, "s2", Status.SUCCESS, "3/4", "0.75", False, {"exact_match": 0.0, "f1": 0.2}, 1_700_000_000.25, 1,
           {"response": 'naïve \u2013 日本語 😀\u2028\u2029\x85 "quoted"\t\\'}),
    Record(1, "s1", Status.ERROR_TIMEOUT, 7, None, False, {}, 1_700_000_000.5, 1,
           {"error": {"type": "Timeout", "after_s": 30}}),
    Record(5, "ünïcödé-5", Status.SUCCESS, [1, 2.5, None], {"a": [True, "\ud83d"]}, True,
           {"exact_match": 1, "f1": 0.30000000000000004}, 1_700_000_061.25, 2,
           {"tokens": 123456789012345678901234567890}),
    Record(3, "s3", Status.ERROR_GENERATION, None, None, False, {}, 1_700_000_061.5, 2,
           {"error": "ValueError: Zeile\nfür Zeile"}),
    Record(7, "s7", Status.ERROR_CRASH, -1, None, False, {}, 1_700_000_062.0, 2),
]  # fmt: skip
STATUS_COUNTS = {"success": 3, "error_timeout": 1, "error_generation": 1, "error_crash": 1}


def copied(name: str, directory: Path) -> CheckpointManager:
    shutil.copytree(FOLDER / name, directory / "r")
    return CheckpointManager(directory, "r", clock=FakeTime(epoch_s=1_700_000_100.0).clock)


def contents(record: Record) -> dict[str, Any]:
    return asdict(record)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checkpoint", ["kept", "lost"])
def test_everything_is_read_back_as_it_was_written(tmp_path: Path, name: str, checkpoint: str) -> None:
    manager = copied(name, tmp_path)
    if checkpoint == "lost":
        manager.layout.checkpoint.unlink()
    before = files_of(manager)
    assert [contents(record) for record in manager.records()] == [contents(record) for record in RECORDS]
    found = manager.load_checkpoint()
    assert found is not None
    assert (found.last_completed_idx, found.completed_above) == (3, ((5, 5), (7, 7)))
    assert (found.samples_processed, found.correct_count, found.total_samples) == (6, 2, 8)
    assert (found.accuracy, found.status_counts) == (2 / 3, STATUS_COUNTS)
    assert found.score_sums == {"exact_match": 2.0, "f1": 0.1 + 0.2 + 0.30000000000000004}
    assert (found.start_time, found.last_update_time, found.attempt) == (1_700_000_000.0, 1_700_000_062.0, 2)
    assert counted(manager) == recount(manager)
    assert files_of(manager) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_is_believed_so_that_resuming_does_not_count_the_log_again(tmp_path: Path, name: str) -> None:
    manager = copied(name, tmp_path)
    checkpoint = read_checkpoint(manager.layout)
    assert checkpoint is not None
    assert replay(manager.layout, checkpoint.run_id).checkpoint == checkpoint
    assert checkpoint.log_offset_bytes == manager.layout.results.stat().st_size


def test_what_a_version_did_not_write_has_its_plainest_value(tmp_path: Path) -> None:
    first = copied("first", tmp_path / "first").load_checkpoint()
    current = copied("current", tmp_path / "current").load_checkpoint()
    assert first is not None
    assert current is not None
    assert (first.in_flight, first.crash_counts) == ((), {})
    assert first.synced_bytes == first.log_offset_bytes  # it synced the log before each checkpoint
    assert (current.in_flight, current.crash_counts) == (((4, 4),), {4: 1})
    assert current.synced_bytes < current.log_offset_bytes


@pytest.mark.parametrize("name", NAMES)
def test_the_description_is_read_and_compared(tmp_path: Path, name: str) -> None:
    manager = copied(name, tmp_path)
    described = RunIdentity.read(manager.layout.run)
    assert (described.identity, described.provenance) == (IDENTITY, {"python": "3.11", "hardware": "cpu"})
    assert (described.created, described.total_samples) == (1_700_000_000.0, 8)
    report = verify(manager.layout)
    assert (report.ok, report.records) == (True, len(RECORDS)), report


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checkpoint", ["kept", "lost"])
@pytest.mark.parametrize("tail", [b"", b'{"idx":4,"sample_id":"s4","stat', b"\0" * 600])
def test_the_run_is_resumed_and_finished(tmp_path: Path, name: str, checkpoint: str, tail: bytes) -> None:
    manager = copied(name, tmp_path)
    log = manager.layout.results.read_bytes()
    with manager.layout.results.open("ab") as file:
        file.write(tail)
    if checkpoint == "lost":
        manager.layout.checkpoint.unlink()
    crashes = {4: 2} if (name, checkpoint) == ("current", "kept") else {}
    with manager.open(total_samples=8, identity=IDENTITY) as run:
        assert (run.attempt, run.crash_counts) == (3, crashes)
        assert [idx for idx in range(8) if not run.is_completed(idx)] == [4, 6]
        run.begin([4, 6])
        run.record(Record(6, "s6", is_correct=True, scores={"exact_match": 1.0, "f1": 1.0}))
        run.record(Record(4, "s4", scores={"exact_match": 0.0, "f1": 0.0}))
    assert manager.layout.results.read_bytes().startswith(log)
    assert [record.idx for record in manager.records()] == [0, 2, 1, 5, 3, 7, 6, 4]
    assert [record.attempt for record in manager.records()] == [1, 1, 1, 2, 2, 2, 3, 3]
    statistics = manager.get_statistics()
    assert (statistics.finished, statistics.attempts, statistics.accuracy) == (True, 3, 3 / 5)
    assert counted(manager) == recount(manager)
    assert [path.read_bytes() for path in manager.layout.attempts.glob("*.torn-tail")] == ([tail] if tail else [])
    assert verify(manager.layout).ok


def newer_run(manager: CheckpointManager) -> None:
    value = orjson.loads(manager.layout.run.read_bytes())
    manager.layout.run.write_bytes(orjson.dumps({**value, "format": 2}))


def newer_checkpoint(manager: CheckpointManager) -> None:
    data = manager.layout.checkpoint.read_bytes()
    value = unseal(data.rstrip() + b"\n")
    manager.layout.checkpoint.write_bytes(seal({**value, "format": 2}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make_newer", [newer_run, newer_checkpoint])
def test_a_file_of_a_newer_version_is_refused_and_nothing_is_touched(
    tmp_path: Path, name: str, make_newer: Any
) -> None:
    manager = copied(name, tmp_path)
    make_newer(manager)
    before = {path: path.read_bytes() for path in manager.layout.root.rglob("*") if path.is_file()}
    for act in (manager.load_checkpoint, manager.get_statistics, manager.open, lambda: manager.open(identity=IDENTITY)):
        with pytest.raises(UnsupportedFormat, match="has format version 2, which this version"):
            act()
    assert {path: path.read_bytes() for path in manager.layout.root.rglob("*") if path.is_file()} == before


def test_the_kept_files_are_as_they_were_left() -> None:
    """By their checksums' own words: whoever edits them by hand is told here."""
    for name in NAMES:
        for line in (FOLDER / name / "results.jsonl").read_bytes().splitlines(keepends=True):
            unseal(line)
        stored = orjson.loads((FOLDER / name / "run.json").read_bytes())
        assert ("crc" in stored, (FOLDER / name / "attempts").exists()) == (name != "first",) * 2
        checkpoint = unseal((FOLDER / name / "checkpoint.json").read_bytes().rstrip() + b"\n")
        assert ("synced_bytes" in checkpoint, "in_flight" in checkpoint) == (name != "first",) * 2
