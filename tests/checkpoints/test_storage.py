"""When the file system refuses: nothing more is acknowledged, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, CorruptRun, Record, StorageFailed
from tests.checkpoints.support import FakeTime, counted, environment, make_run, recount
from tests.checkpoints.test_atomic import largest_file


def test_a_file_where_the_folder_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(StorageFailed, match=r"could not create .*runs/r: Not a directory"):
        CheckpointManager(tmp_path / "runs", "r").open()
    (tmp_path / "r").write_text("not a folder either")
    with pytest.raises(StorageFailed, match="could not create"):
        CheckpointManager(tmp_path, "r").open()


@pytest.mark.parametrize("name", ["run.json", "results.jsonl", "checkpoint.json", "run.lock"])
def test_a_folder_in_place_of_a_file_is_reported_and_frees_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "r" / name).mkdir(parents=True)
    with pytest.raises((StorageFailed, CorruptRun)):
        CheckpointManager(tmp_path, "r").open()
    shutil.rmtree(tmp_path / "r" / name)
    with CheckpointManager(tmp_path, "r").open() as run:
        assert run.attempt == 1


@pytest.mark.parametrize("room_bytes", [0, 1, 100, 250])
def test_after_an_append_that_failed_nothing_more_is_acknowledged(tmp_path: Path, room_bytes: int) -> None:
    """Room for a part of the next records: they reach the file torn, and whole ones must not follow the torn one."""
    make_run(tmp_path, 0, 1, total=9)
    size = (tmp_path / "r" / "results.jsonl").stat().st_size
    run = CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open()
    with largest_file(size + room_bytes), pytest.raises(StorageFailed, match=r"could not append to .*results\.jsonl"):
        run.record(Record(2), Record(3))
    torn_size = (tmp_path / "r" / "results.jsonl").stat().st_size
    assert torn_size == size + room_bytes
    with pytest.raises(StorageFailed):
        run.record(Record(4))
    with pytest.raises(StorageFailed):
        run.commit()
    with pytest.raises(StorageFailed):
        run.close()
    assert (tmp_path / "r" / "results.jsonl").stat().st_size == torn_size
    whole = {record.idx for record in run.records()}
    assert {0, 1} <= whole < {0, 1, 2, 3}
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(*[Record(idx) for idx in (2, 3, 4) if idx not in whole])
    assert counted(run) == recount(run)
    assert run.get_statistics().samples_processed == 5


def test_the_first_failure_is_the_one_that_leaves_the_with_block(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, "r").open()
    with pytest.raises(StorageFailed, match="append"), manager, largest_file(50):
        manager.record(Record(0))
    make_run(tmp_path, 0)
    assert counted(manager) == recount(manager)


def test_a_checkpoint_that_cannot_be_written_is_reported_and_costs_no_record(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        run.record(Record(0))
        with largest_file(20), pytest.raises(StorageFailed, match=r"replace .*checkpoint\.json"):
            run.commit()
        with pytest.raises(StorageFailed):
            run.record(Record(1))
        with pytest.raises(StorageFailed):
            run.close()
    assert counted(run) == recount(run)
    assert run.get_statistics().samples_processed == 1


@pytest.mark.parametrize("room_bytes", [0, 30, 150])
def test_a_run_that_cannot_be_opened_for_want_of_space_is_left_as_it_was_and_free(
    tmp_path: Path, room_bytes: int
) -> None:
    manager = make_run(tmp_path, 0, 1, 2)
    log, checkpoint = manager.layout.results.read_bytes(), manager.layout.checkpoint.read_bytes()
    kept_out = CheckpointManager(tmp_path, "r")
    with largest_file(room_bytes), pytest.raises(StorageFailed):
        kept_out.open()
    assert manager.layout.results.read_bytes() == log
    assert manager.layout.checkpoint.read_bytes() == checkpoint
    with CheckpointManager(tmp_path, "r").open() as run:
        assert run.attempt in {2, 3}  # the attempt that failed may have left its number
    with kept_out.open():
        assert kept_out.attempt > 2


def test_the_log_is_synced_before_it_is_believed_and_before_a_checkpoint_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fdatasync, os.replace

    def noted_sync(descriptor: int) -> None:
        steps.append(f"sync {os.fstat(descriptor).st_size}")
        sync(descriptor)

    def noted_rename(source: str | Path, target: str | Path) -> None:
        rename(source, target)
        steps.append(f"{Path(target).name}")

    log = make_run(tmp_path, 0).layout.results
    monkeypatch.setattr(os, "fdatasync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_rename)
    before = log.stat().st_size
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        run.record(Record(1))
        run.record(Record(2))
        after = log.stat().st_size
        run.commit()
        assert steps == [f"sync {before}", "checkpoint.json", f"sync {after}", "checkpoint.json"]


FILL_A_SMALL_DISK = """
import json, sys
from pathlib import Path
from checkpoints import CheckpointManager, Record, StorageFailed

folder = Path(sys.argv[1])
ballast = folder / "ballast"
ballast.write_bytes(b"x" * 100_000)
acknowledged, messages = [], []

def record(run, idx):
    run.record(Record(idx, extra={"text": "t" * 700}))
    acknowledged.append([idx, run.attempt])

def refused(call):
    try:
        call()
    except StorageFailed as error:
        messages.append(str(error))
        return True
    return False

run = CheckpointManager(folder, "r").open(total_samples=200)
idx = 0
while not refused(lambda: record(run, idx)):
    idx += 1
still = refused(run.close)
opened_when_full = not refused(lambda: CheckpointManager(folder, "r").open().close())
ballast.unlink()
with CheckpointManager(folder, "r").open(total_samples=200) as run:
    found = [[each.idx, each.attempt] for each in run.records()]
    for idx in range(200):
        if not run.is_completed(idx):
            if refused(lambda: record(run, idx)):
                break
records = [[each.idx, each.attempt] for each in CheckpointManager(folder, "r").records()]
print(json.dumps({"acknowledged": acknowledged, "found": found, "records": records, "messages": messages,
                  "finished": CheckpointManager(folder, "r").get_statistics().finished}))
"""


def test_a_full_disk_stops_the_run_and_freeing_it_lets_it_finish(tmp_path: Path) -> None:
    """A real file system of 256 KiB, mounted in a namespace of the test's own, which vanishes with it."""
    mount = 'mount -t tmpfs -o size=256k crashproof "$0" && exec "$@"'
    namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(tmp_path)]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {getattr(error, 'stderr', None) or error}")
    done = subprocess.run(
        [*namespace, sys.executable, "-c", FILL_A_SMALL_DISK, str(tmp_path)],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "No space left on device" in told["messages"][0]
    first = [pair for pair in told["acknowledged"] if pair[1] == 1]
    assert len(first) > 50
    assert [pair for pair in first if pair not in told["found"]] == []
    assert [pair for pair in told["acknowledged"] if pair not in told["records"]] == []
    assert sorted(idx for idx, _ in told["records"]) == list(range(200))
    assert told["finished"]
