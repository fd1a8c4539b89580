"""Opening, recording, committing, closing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import CheckpointManager, Durability, Record, RunNotFound, RunNotOpen, Status
from checkpoints.recovery import read_checkpoint
from tests.checkpoints.support import FakeTime, counted, environment, files_of, make_run, recount


def on_disk(manager: CheckpointManager) -> int:
    """How many samples checkpoint.json counts."""
    checkpoint = read_checkpoint(manager.layout)
    assert checkpoint is not None
    return checkpoint.samples_processed


def test_where_there_is_no_run_there_is_no_checkpoint_and_nothing_is_created(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path / "folder", "r")
    assert manager.load_checkpoint() is None
    with pytest.raises(RunNotFound, match="folder/r"):
        manager.get_statistics()
    assert list(manager.records()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
def test_a_run_name_is_one_plain_folder_name(name: str) -> None:
    with pytest.raises(ValueError, match="run name"):
        CheckpointManager("x", name)


def test_what_is_recorded_is_read_back_in_the_order_in_which_it_was_written(tmp_path: Path) -> None:
    time = FakeTime()
    with CheckpointManager(tmp_path, "r", clock=time.clock).open(total_samples=5) as run:
        run.record(Record(2, "c", ground_truth=4, model_answer="four", extra={"tokens": [1]}))
        time.advance(0.25)
        run.record(Record(0, "a", Status.ERROR_TIMEOUT), Record(1, "b", is_correct=True, scores={"f1": 0.5}))
    assert list(run.records()) == [
        Record(2, "c", ground_truth=4, model_answer="four", timestamp=time.epoch_s, attempt=1, extra={"tokens": [1]}),
        Record(0, "a", Status.ERROR_TIMEOUT, timestamp=time.epoch_s + 0.25, attempt=1),
        Record(1, "b", is_correct=True, scores={"f1": 0.5}, timestamp=time.epoch_s + 0.25, attempt=1),
    ]
    checkpoint = run.load_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.last_completed_idx, checkpoint.completed_above) == (2, ())


def test_the_manager_stamps_the_attempt_whatever_the_record_says(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(0, timestamp=123.0, attempt=77))
    assert [(each.timestamp, each.attempt) for each in run.records()] == [(123.0, 1)]


def test_samples_may_finish_in_any_order(tmp_path: Path) -> None:
    manager = make_run(tmp_path, 7, 3, 0, 4, 1, total=10)
    checkpoint = manager.load_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.last_completed_idx, checkpoint.completed_above) == (1, ((3, 4), (7, 7)))
    with CheckpointManager(tmp_path, "r").open() as run:
        assert [idx for idx in range(10) if run.is_completed(idx)] == [0, 1, 3, 4, 7]


@settings(max_examples=40)
@given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=1, max_size=12), st.data())
def test_attempts_in_any_order_and_grouping_add_up(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], sizes: list[int], data: st.DataObject
) -> None:
    directory, done, attempts = tmp_path_factory.mktemp("run"), set[int](), 0
    for size in sizes:
        batch, order = order[:size], order[size:]
        statuses = [data.draw(st.sampled_from(Status)) for _ in batch]
        with CheckpointManager(directory, "r").open(total_samples=12) as run:
            assert {idx for idx in range(12) if run.is_completed(idx)} == done
            run.record(*[Record(idx, status=status) for idx, status in zip(batch, statuses, strict=True)])
        attempts += len(done) < 12
        done |= {*batch}
    assert counted(run) == recount(run)
    assert run.get_statistics().attempts == attempts


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        ([5, 5], "sample 5 is already recorded"),
        ([5, 1], "sample 1 is already recorded"),
        ([5, 10], "sample 10 is beyond the run's 10 samples"),
        ([5, -1], "at least 0"),
    ],
)
def test_a_batch_with_one_wrong_sample_is_refused_whole(tmp_path: Path, batch: list[int], complaint: str) -> None:
    make_run(tmp_path, 0, 1, total=10)
    with CheckpointManager(tmp_path, "r").open() as run:
        before = files_of(run)
        with pytest.raises(ValueError, match=complaint):
            run.record(*map(Record, batch))
        assert files_of(run) == before
        assert not run.is_completed(5)
        run.record(Record(5))
    assert counted(run) == recount(run)
    assert [record.idx for record in run.records()] == [0, 1, 5]


def test_a_value_that_json_cannot_hold_is_refused_with_nothing_written(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        with pytest.raises(TypeError):
            run.record(Record(0), Record(1, model_answer=object()))
        assert run.layout.results.read_bytes() == b""
        run.record(Record(0), Record(1))
    assert counted(run) == recount(run)


def test_an_acknowledged_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        for idx in range(5):
            run.record(Record(idx))
            assert run.layout.results.read_bytes().count(b"\n") == idx + 1


def synced(manager: CheckpointManager) -> int:
    """How many whole records checkpoint.json says are on the disk."""
    checkpoint = read_checkpoint(manager.layout)
    assert checkpoint is not None
    return manager.layout.results.read_bytes()[: checkpoint.synced_bytes].count(b"\n")


def wait_until(true: Callable[[], bool]) -> None:
    """The store's own thread needs a few milliseconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_reader_finds_the_numbers_of_the_last_record_whenever_it_looks(tmp_path: Path) -> None:
    """json.loads of the file and nothing else, after each record of a quick loop."""
    with CheckpointManager(tmp_path, "r").open(total_samples=300) as run:
        for idx in range(300):
            run.record(Record(idx, is_correct=idx % 3 == 0))
            found = json.loads(run.layout.checkpoint.read_bytes())
            assert (found["last_completed_idx"], found["samples_processed"]) == (idx, idx + 1)
            assert found["accuracy"] == found["correct_count"] / (idx + 1) == (idx // 3 + 1) / (idx + 1)


def test_after_a_rush_of_records_the_checkpoint_catches_up_by_itself(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        for idx in range(1000):
            run.record(Record(idx))
        wait_until(lambda: on_disk(run) == 1000)


def test_a_group_is_synced_with_its_64th_record(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        for idx in range(130):
            run.record(Record(idx))
        wait_until(lambda: on_disk(run) == 130)
        assert synced(run) == 128
    assert synced(run) == 130


def test_a_group_is_synced_a_second_after_its_first_record_though_no_other_comes(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", durability=Durability.group(interval_s=0.05)).open() as run:
        run.record(Record(0))
        run.record(Record(1))
        wait_until(lambda: run.load_checkpoint().synced_bytes == run.layout.results.stat().st_size)  # type: ignore[union-attr]


def test_strict_syncs_each_record_before_it_returns_and_process_none(tmp_path: Path) -> None:
    for how, expected in ((Durability.strict(), 3), (Durability.process(), 0)):
        with CheckpointManager(tmp_path, how.name, durability=how, clock=FakeTime().clock).open() as run:
            for idx in range(3):
                run.record(Record(idx))
            wait_until(lambda run=run: on_disk(run) == 3)  # type: ignore[misc]
            assert synced(run) == expected
        assert synced(run) == 3


def test_commit_syncs_and_brings_the_checkpoint_up_to_date(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open() as run:
        run.record(Record(0))
        run.commit()
        assert (on_disk(run), synced(run)) == (1, 1)


@pytest.mark.parametrize("wrong", [{"records": 0}, {"interval_s": 0}, {"interval_s": float("nan")}])
def test_a_durability_that_would_never_sync_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="between two syncs must be"):
        Durability.group(**wrong)


def test_the_checkpoint_has_the_same_size_whatever_it_says(tmp_path: Path) -> None:
    sizes = set()
    with CheckpointManager(tmp_path, "r").open() as run:
        for start in (0, 100, 1_000, 100_000_000):
            run.record(*map(Record, range(start, start + 100)))
            run.begin([start + 100])
            sizes.add(run.layout.checkpoint.stat().st_size)
    assert sizes == {1024}


def test_a_completed_set_too_ragged_for_the_checkpoint_is_found_again_in_the_log(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(*map(Record, range(0, 4_000, 2)))
    assert run.layout.checkpoint.stat().st_size == 1024
    assert json.loads(run.layout.checkpoint.read_bytes())["completed_above"] is None
    with CheckpointManager(tmp_path, "r").open() as run:
        assert [run.is_completed(idx) for idx in (0, 1, 2, 3_998, 3_999)] == [True, False, True, True, False]


def test_what_was_in_flight_when_a_process_died_is_counted_against_it(tmp_path: Path) -> None:
    script = """if True:
        import os, signal, sys
        from checkpoints import CheckpointManager, Record
        run = CheckpointManager(sys.argv[1], "r").open(total_samples=9)
        run.begin([3, 4, 5])
        run.record(Record(4)) if not run.is_completed(4) else None
        os.kill(os.getpid(), signal.SIGKILL)
    """
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment(), check=False)
    with CheckpointManager(tmp_path, "r").open() as run:
        assert run.crash_counts == {3: 2, 5: 2}
        run.record(Record(5))
        assert run.crash_counts == {3: 2}
        run.begin([0, 1])
    with CheckpointManager(tmp_path, "r").open() as run:
        assert run.crash_counts == {3: 2}, "a run that was closed did not crash"


def test_threads_may_share_a_run(tmp_path: Path) -> None:
    def work(start: int) -> None:
        for idx in range(start, 2_000, 4):
            run.record(Record(idx, is_correct=True))

    with CheckpointManager(tmp_path, "r").open(total_samples=2_000) as run:
        threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(run) == recount(run)
    assert (run.get_statistics().finished, run.get_statistics().correct_count) == (True, 2_000)


def test_restart_keeps_the_old_run_under_another_name(tmp_path: Path) -> None:
    make_run(tmp_path, 0, 1, total=2)
    with CheckpointManager(tmp_path, "r").open(total_samples=3, identity={"new": 1}, restart=True) as run:
        assert (run.attempt, run.get_statistics().samples_processed) == (1, 0)
    [old] = [path for path in tmp_path.iterdir() if path.name != "r"]
    assert old.name.startswith("r.replaced-")
    assert CheckpointManager(tmp_path, old.name).get_statistics().samples_processed == 2


def test_a_run_is_resumed_from_its_folder_or_its_checkpoint(tmp_path: Path) -> None:
    manager = make_run(tmp_path, 0, total=2)
    for path in (manager.layout.root, manager.layout.checkpoint):
        assert CheckpointManager.resume_from(path).get_statistics().samples_processed == 1
    with pytest.raises(RunNotFound):
        CheckpointManager.resume_from(tmp_path)


def test_a_reader_beside_a_live_writer_sees_its_records_and_changes_nothing(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r", clock=FakeTime().clock).open(total_samples=9) as run:
        run.record(Record(0, is_correct=True), Record(1))
        wait_until(lambda: on_disk(run) == 2)
        before = files_of(run)
        beside = CheckpointManager(tmp_path, "r")
        assert beside.get_statistics().samples_processed == 2
        assert beside.get_statistics().accuracy == run.get_statistics().accuracy == 0.5
        assert [record.idx for record in beside.records()] == [0, 1]
        assert files_of(run) == before


def test_every_open_is_an_attempt_even_one_that_records_nothing(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        with CheckpointManager(tmp_path, "r").open() as run:
            assert run.attempt == attempt
            assert CheckpointManager(tmp_path, "r").get_statistics().attempts == attempt


def test_opening_a_finished_run_is_neither_an_attempt_nor_time_at_work(tmp_path: Path) -> None:
    time = FakeTime()
    finished = make_run(tmp_path, 0, 1, total=2, clock=time.clock)
    before = files_of(finished)
    with CheckpointManager(tmp_path, "r", clock=time.clock).open(total_samples=2) as run:
        time.advance(100)
        assert run.get_statistics().finished
        assert run.attempt == 1
    assert files_of(finished) == before


def test_the_same_manager_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    manager = make_run(tmp_path, 0)
    manager.close()
    with manager.open() as run:
        with pytest.raises(RunNotOpen, match="open already"):
            run.open()
        run.record(Record(1))
    assert [(each.idx, each.attempt) for each in manager.records()] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.record(Record(9)),
        lambda run: run.commit(),
        lambda run: run.is_completed(0),
        lambda run: run.attempt,
    ],
    ids=["record", "commit", "is_completed", "attempt"],
)
def test_before_open_and_after_close_there_is_nothing_to_write_to(
    tmp_path: Path, call: Callable[[CheckpointManager], Any]
) -> None:
    with pytest.raises(RunNotOpen, match="call open"):
        call(CheckpointManager(tmp_path, "r"))
    with pytest.raises(RunNotOpen, match="call open"):
        call(make_run(tmp_path, 0))


def test_leaving_on_an_error_keeps_what_was_recorded_and_frees_the_run(tmp_path: Path) -> None:
    run = CheckpointManager(tmp_path, "r", clock=FakeTime().clock)

    def evaluate() -> None:
        with run.open():
            run.record(Record(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate()
    assert on_disk(run) == 1
    assert make_run(tmp_path, 1).get_statistics().samples_processed == 2
