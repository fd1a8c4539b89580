"""After a crash: what is kept, what is cut off, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, Clock, CorruptRun, Record, Status
from checkpoints.log import scan
from checkpoints.recovery import read_checkpoint, replay
from tests.checkpoints.support import FakeTime, counted, lines_of, make_run, recount


def two_attempts(directory: Path, clock: Clock | None = None) -> CheckpointManager:
    """Samples 0, 1, 2 by the first attempt, 4 and 3 by the second."""
    make_run(directory, 0, 1, 2, total=10, clock=clock)
    return make_run(directory, 4, 3, clock=clock)


def attempts_by_idx(manager: CheckpointManager) -> dict[int, int]:
    return {record.idx: record.attempt for record in manager.records()}


@pytest.mark.parametrize("checkpoint", ["current", "earlier", "missing"])
def test_a_last_record_torn_at_any_byte_is_cut_off_and_kept_aside(tmp_path: Path, checkpoint: str) -> None:
    manager = make_run(tmp_path, 0, 1, 2, total=10)
    earlier = manager.layout.checkpoint.read_bytes()
    make_run(tmp_path, 4, 3)
    current = manager.layout.checkpoint.read_bytes()
    log, last = manager.layout.results.read_bytes(), lines_of(manager)[-1]
    kept = log[: -len(last)]
    for torn_bytes in range(1, len(last)):
        manager.layout.results.write_bytes(kept + last[:torn_bytes])
        manager.layout.checkpoint.unlink()
        shutil.rmtree(manager.layout.attempts)
        if checkpoint != "missing":
            manager.layout.checkpoint.write_bytes(current if checkpoint == "current" else earlier)
        before = manager.get_statistics()
        with CheckpointManager(tmp_path, "r").open() as run:
            assert run.attempt == 3
            assert not run.is_completed(3)
        assert manager.layout.results.read_bytes() == kept
        assert (manager.layout.attempts / "attempt-0003.torn-tail").read_bytes() == last[:torn_bytes]
        assert attempts_by_idx(manager) == {0: 1, 1: 1, 2: 1, 4: 2}
        assert counted(manager) == recount(manager)
        assert before.samples_processed == manager.get_statistics().samples_processed == 4


def test_the_lost_sample_can_be_recorded_again_by_the_attempt_that_found_it_torn(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    manager.layout.results.write_bytes(manager.layout.results.read_bytes()[:-20])
    make_run(tmp_path, 3)
    assert attempts_by_idx(manager) == {0: 1, 1: 1, 2: 1, 4: 2, 3: 3}
    assert [len(lines_of(manager)), counted(manager)] == [5, recount(manager)]


@pytest.mark.parametrize(
    "tail", [b"\0" * 700, b"\n", b"\n\n\n", b"garbage\nmore\n", b'{"idx":9}\n', b"\xff" * 3_000_000]
)
def test_anything_that_no_record_follows_is_a_torn_tail(tmp_path: Path, tail: bytes) -> None:
    manager = two_attempts(tmp_path)
    log = manager.layout.results.read_bytes()
    manager.layout.results.write_bytes(log + tail)
    assert manager.get_statistics().samples_processed == 5
    CheckpointManager(tmp_path, "r").open().close()
    assert manager.layout.results.read_bytes() == log
    assert (manager.layout.attempts / "attempt-0003.torn-tail").read_bytes() == tail


def test_looking_at_a_torn_run_changes_nothing(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    manager.layout.results.write_bytes(manager.layout.results.read_bytes()[:-5])
    before = {path: path.read_bytes() for path in manager.layout.root.rglob("*") if path.is_file()}
    assert manager.get_statistics().samples_processed == 4
    assert [record.idx for record in manager.records()] == [0, 1, 2, 4]
    assert {path: path.read_bytes() for path in manager.layout.root.rglob("*") if path.is_file()} == before


def test_a_checkpoint_damaged_in_any_bit_is_replaced_by_a_scan_of_the_log(tmp_path: Path) -> None:
    time = FakeTime()
    manager = two_attempts(tmp_path, time.clock)
    whole, intact = manager.layout.checkpoint.read_bytes(), manager.get_statistics()
    for position in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        manager.layout.checkpoint.write_bytes(damaged)
        assert read_checkpoint(manager.layout) is None
        assert manager.get_statistics() == intact


def test_a_checkpoint_cut_at_any_byte_or_missing_is_replaced_by_a_scan_of_the_log(tmp_path: Path) -> None:
    time = FakeTime()
    manager = two_attempts(tmp_path, time.clock)
    whole, intact = manager.layout.checkpoint.read_bytes(), manager.get_statistics()
    for end in range(len(whole)):
        manager.layout.checkpoint.write_bytes(whole[:end])
        assert manager.get_statistics() == intact
    manager.layout.checkpoint.unlink()
    assert manager.get_statistics() == intact
    with CheckpointManager(tmp_path, "r", clock=time.clock).open() as run:
        assert run.attempt == 3
    assert read_checkpoint(manager.layout) is not None


@pytest.mark.parametrize("kept_lines", range(5))
def test_a_checkpoint_that_points_past_the_end_of_the_log_is_not_believed(tmp_path: Path, kept_lines: int) -> None:
    """After a power failure the checkpoint may have reached the disk and the log not."""
    manager = two_attempts(tmp_path)
    manager.layout.results.write_bytes(b"".join(lines_of(manager)[:kept_lines]))
    assert manager.get_statistics().samples_processed == kept_lines
    with CheckpointManager(tmp_path, "r").open() as run:
        assert [run.is_completed(idx) for idx in (0, 1, 2, 4, 3)] == [at < kept_lines for at in range(5)]
    assert counted(manager) == recount(manager)


def test_without_a_log_nothing_is_counted_whatever_the_checkpoint_says(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    manager.layout.results.unlink()
    assert manager.get_statistics().samples_processed == 0


def test_a_checkpoint_that_does_not_point_to_the_start_of_a_line_is_not_believed(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    assert replay(manager.layout).checkpoint is not None
    longer = Record(7, "a longer line than the one it replaces", attempt=1).encode()
    manager.layout.results.write_bytes(longer + b"".join(lines_of(manager)[1:]))
    assert replay(manager.layout).checkpoint is None
    assert 7 in attempts_by_idx(manager)


def test_resuming_reads_only_what_the_checkpoint_does_not_cover(tmp_path: Path) -> None:
    """Damage before the checkpoint's offset goes unnoticed as long as the checkpoint can be trusted."""
    manager = two_attempts(tmp_path)
    log = bytearray(manager.layout.results.read_bytes())
    log[10] ^= 1
    manager.layout.results.write_bytes(log)
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(9))
        assert run.get_statistics().samples_processed == 6
    manager.layout.checkpoint.unlink()
    with pytest.raises(CorruptRun):
        CheckpointManager(tmp_path, "r").open()


@pytest.mark.parametrize("damaged_line", [1, 3, 4])
def test_bad_data_that_valid_records_follow_is_refused_with_its_place(tmp_path: Path, damaged_line: int) -> None:
    manager = two_attempts(tmp_path)
    lines = lines_of(manager)
    lines[damaged_line - 1] = lines[damaged_line - 1].replace(b'"sample_id"', b'"sAmple_id"')
    manager.layout.results.write_bytes(b"".join(lines))
    manager.layout.checkpoint.unlink()
    before = manager.layout.results.read_bytes()
    with pytest.raises(CorruptRun) as raised:
        CheckpointManager(tmp_path, "r").open()
    start = sum(map(len, lines[: damaged_line - 1]))
    assert (raised.value.path, raised.value.line, raised.value.offset_bytes) == (
        manager.layout.results, damaged_line, start,
    )  # fmt: skip
    assert f"results.jsonl, line {damaged_line}, byte {start}: the checksum does not match" in str(raised.value)
    assert manager.layout.results.read_bytes() == before
    with pytest.raises(CorruptRun):
        manager.get_statistics()


def test_of_several_damaged_lines_the_first_is_named(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    lines = lines_of(manager)
    manager.layout.results.write_bytes(b"".join([lines[0], b"bad\n", b"worse\n", *lines[1:]]))
    manager.layout.checkpoint.unlink()
    with pytest.raises(CorruptRun, match=f"line 2, byte {len(lines[0])}: the line is not terminated, yet valid"):
        CheckpointManager(tmp_path, "r").open()


def test_the_checkpoint_after_a_torn_tail_points_to_the_end_of_what_was_kept(tmp_path: Path) -> None:
    manager = two_attempts(tmp_path)
    with manager.layout.results.open("ab") as log:
        log.write(b"torn")
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(5))
    checkpoint = read_checkpoint(manager.layout)
    assert checkpoint is not None
    assert checkpoint.log_offset_bytes == manager.layout.results.stat().st_size
    assert replay(manager.layout).checkpoint == checkpoint


@pytest.mark.parametrize("keep_checkpoint", [True, False])
def test_a_sample_that_the_log_has_twice_is_refused_with_its_place(tmp_path: Path, keep_checkpoint: bool) -> None:
    manager = two_attempts(tmp_path)
    start = manager.layout.results.stat().st_size
    with manager.layout.results.open("ab") as log:
        log.write(Record(1, "s1", status=Status.SUCCESS, timestamp=1.0, attempt=2).encode())
    if not keep_checkpoint:
        manager.layout.checkpoint.unlink()
    with pytest.raises(CorruptRun, match=f"line 6, byte {start}: sample 1 is already recorded"):
        CheckpointManager(tmp_path, "r").open()


def test_a_line_that_grows_while_it_is_read_is_not_mistaken_for_damage(tmp_path: Path) -> None:
    """The writer beside us is between two halves of a write; then it goes on."""
    manager = two_attempts(tmp_path)
    line = Record(5, attempt=2).encode()
    with manager.layout.results.open("ab", buffering=0) as log:
        log.write(line[:40])
        entries = scan(manager.layout.results)
        seen = [next(entries) for _ in range(6)]
        log.write(line[40:] + Record(6, attempt=2).encode())
        assert [entry.record is None for entry in seen] == [False] * 5 + [True]
        assert list(entries) == []
    assert [record.idx for record in manager.records()] == [0, 1, 2, 4, 3, 5, 6]


def test_a_second_crash_during_recovery_loses_nothing(tmp_path: Path) -> None:
    """The tail was kept aside, but the machine died before, or after, it was cut off."""
    manager = two_attempts(tmp_path)
    log = manager.layout.results.read_bytes()
    manager.layout.results.write_bytes(log + b"torn")
    (manager.layout.attempts / "attempt-0003.torn-tail").write_bytes(b"to")
    CheckpointManager(tmp_path, "r").open().close()
    assert manager.layout.results.read_bytes() == log
    assert (manager.layout.attempts / "attempt-0003.torn-tail").read_bytes() == b"to"
    assert (manager.layout.attempts / "attempt-0003.1.torn-tail").read_bytes() == b"torn"
    assert attempts_by_idx(manager) == {0: 1, 1: 1, 2: 1, 4: 2, 3: 2}
