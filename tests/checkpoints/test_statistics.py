"""What a run amounts to."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoints import CheckpointManager, MemoryRun, Record, Statistics, Status
from tests.checkpoints.support import FakeTime, counted, files_of, make_run, recount

CRASH, TIMEOUT = Status.ERROR_CRASH, Status.ERROR_TIMEOUT


def statistics(directory: Path, *records: Record, total: int | None = None) -> Statistics:
    with CheckpointManager(directory, "r").open(total_samples=total) as run:
        run.record(*records)
        live = run.get_statistics()
    assert counted(run) == recount(run)
    after = run.get_statistics()
    assert (live.accuracy, live.scores, live.status_counts) == (after.accuracy, after.scores, after.status_counts)
    return after


def test_while_nothing_is_scored_there_is_no_accuracy(tmp_path: Path) -> None:
    empty = statistics(tmp_path / "a", total=5)
    assert (empty.accuracy, empty.accuracy_lower, empty.accuracy_upper) == (None, None, None)
    assert (empty.samples_per_s, empty.eta_s, empty.finished, empty.scores) == (None, None, False, {})
    failed = statistics(tmp_path / "b", Record(0, status=CRASH), Record(1, status=TIMEOUT))
    assert (failed.accuracy, failed.accuracy_lower, failed.accuracy_upper, failed.errors) == (None, 0.0, 1.0, 2)


def test_errors_are_neither_right_nor_wrong_but_bound_the_accuracy(tmp_path: Path) -> None:
    stats = statistics(
        tmp_path,
        *[Record(idx, is_correct=True) for idx in range(3)],
        Record(3),
        Record(4, status=CRASH),
        *[Record(idx, status=Status.ERROR_GENERATION) for idx in (5, 6)],
        Record(7, status=TIMEOUT),
        total=10,
    )
    assert (stats.accuracy, stats.accuracy_lower, stats.accuracy_upper) == (3 / 4, 3 / 8, 7 / 8)
    assert (stats.samples_processed, stats.correct_count, stats.errors) == (8, 3, 4)
    assert stats.status_counts == {"success": 4, "error_crash": 1, "error_generation": 2, "error_timeout": 1}


def test_scores_are_means_over_the_scored_samples(tmp_path: Path) -> None:
    stats = statistics(
        tmp_path,
        Record(0, scores={"f1": 0.5, "match": 1}),
        Record(1, scores={"f1": 0.25, "match": 0}),
        Record(2, status=CRASH),
    )
    assert stats.scores == {"f1": 0.375, "match": 0.5}


def test_a_sum_of_scores_that_overflows_does_not_end_the_run(tmp_path: Path) -> None:
    """JSON has no infinity: a checkpoint cannot hold the sum, the log can."""
    statistics(tmp_path, Record(0, scores={"loss": 1e308}), Record(1, scores={"loss": 1e308}))
    stats = statistics(tmp_path, Record(2, scores={"loss": 1.0}))
    assert (stats.samples_processed, stats.attempts, stats.scores) == (3, 2, {"loss": float("inf")})


def test_statistics_are_read_by_attribute_by_name_and_as_a_dict(tmp_path: Path) -> None:
    stats = statistics(tmp_path, Record(0, is_correct=True), Record(1), total=2)
    assert stats["accuracy"] == stats.accuracy == dict(stats)["accuracy"] == 0.5
    assert {**stats} == dict(stats)
    assert {"samples_processed", "total_samples", "eta_s", "finished", "attempts"} < {*stats}
    for name in ("keys", "no_such", "__class__"):
        with pytest.raises(KeyError, match=name):
            stats[name]


def test_a_run_is_finished_when_every_sample_has_a_record_whatever_its_status(tmp_path: Path) -> None:
    assert not make_run(tmp_path, 0, 2, total=3).get_statistics().finished
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(1, status=CRASH))
        assert run.get_statistics().finished
    assert run.get_statistics().eta_s == 0
    assert not make_run(tmp_path / "open-ended", 0).get_statistics().finished


def test_rate_and_time_left_follow_the_time_spent_working(tmp_path: Path) -> None:
    time = FakeTime()
    with CheckpointManager(tmp_path, "r", clock=time.clock).open(total_samples=10) as run:
        time.advance(8)
        run.record(Record(0), Record(1), Record(2), Record(3))
        stats = run.get_statistics()
        assert (stats.elapsed_s, stats.samples_per_s, stats.eta_s) == (8, 0.5, 12)
        time.advance(8)
        assert run.get_statistics().samples_per_s == 0.25
        assert run.get_statistics().eta_s == 24


def test_without_a_total_the_time_left_is_unknown(tmp_path: Path) -> None:
    time = FakeTime()
    with CheckpointManager(tmp_path, "r", clock=time.clock).open() as run:
        time.advance(2)
        run.record(Record(0))
        assert (run.get_statistics().samples_per_s, run.get_statistics().eta_s) == (0.5, None)


def test_elapsed_time_is_summed_over_attempts_and_leaves_out_the_pause_between(tmp_path: Path) -> None:
    time = FakeTime()
    for idx, works_s in enumerate((10, 20, 5)):
        with CheckpointManager(tmp_path, "r", clock=time.clock).open() as run:
            time.advance(works_s)
            run.record(Record(idx))
        time.advance(86_400)
    assert run.get_statistics().elapsed_s == 35


def test_the_time_of_an_attempt_that_was_killed_counts_up_to_its_last_record(tmp_path: Path) -> None:
    """Its files are taken as they lie, between two checkpoints, for what a kill leaves."""
    time = FakeTime()
    with CheckpointManager(tmp_path / "alive", "r", clock=time.clock).open(total_samples=9) as run:
        time.advance(4)
        run.record(Record(0))
        time.advance(0.5)
        run.record(Record(1))
        killed = files_of(run)
    (tmp_path / "killed" / "r").mkdir(parents=True)
    for name, data in killed.items():
        (tmp_path / "killed" / "r" / name).write_bytes(data)
    time.advance(3_600)
    again = CheckpointManager(tmp_path / "killed", "r", clock=time.clock)
    assert again.get_statistics().elapsed_s == 4.5
    with again.open() as run:
        time.advance(2)
        assert run.get_statistics().elapsed_s == 6.5
        assert run.get_statistics().samples_processed == 2


def test_a_run_in_memory_counts_as_one_on_disk_does(tmp_path: Path) -> None:
    time = FakeTime()
    records = [Record(0, is_correct=True, scores={"f1": 0.5}), Record(2, status=Status.ERROR_CRASH)]
    with CheckpointManager(tmp_path, "r", clock=time.clock).open(total_samples=3) as kept:
        with MemoryRun(3, clock=time.clock) as forgotten:
            time.advance(2)
            for run in (kept, forgotten):
                run.record(*records)
            assert [forgotten.is_completed(idx) for idx in range(3)] == [True, False, True]
            assert dict(forgotten.get_statistics()) == dict(kept.get_statistics())
        with pytest.raises(ValueError, match="already"):
            forgotten.record(Record(0))
