"""Whatever is off in a run is found and named; what a crash explains is only noted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoints import CheckpointManager, Record, RunNotFound, UnsupportedFormat
from checkpoints.agreement import overlap, subtract
from checkpoints.compare import compare, unlike
from checkpoints.layout import RunLayout
from checkpoints.report import KEPT_PER_KIND, Kind
from checkpoints.verdict import Verdict, verdicts
from checkpoints.verify import locate, verify
from tests.checkpoints import damage
from tests.checkpoints.damage import TOTAL, healthy, lines, reseal, rewrite, snapshot
from tests.checkpoints.support import python, start

Damage = Callable[[RunLayout], None]


def kinds(layout: RunLayout) -> set[Kind]:
    return set(verify(layout).counts)


def told(layout: RunLayout, kind: Kind) -> list[str]:
    return [f"{each.where}: {each.what}" for each in verify(layout).findings if each.kind is kind]


def compress(layout: RunLayout) -> None:
    layout.compressed.write_bytes(gzip.compress(layout.results.read_bytes()))
    layout.results.unlink()


def test_a_finished_run_has_nothing_to_be_told(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    before = snapshot(layout)
    report = verify(layout)
    assert (report.findings, report.counts, report.ok) == ((), {}, True)
    assert (report.records, report.total_samples, report.live, report.has_checkpoint) == (TOTAL, TOTAL, False, True)
    assert report.fingerprint == json.loads(layout.run.read_bytes())["fingerprint"]
    assert snapshot(layout) == before


def test_a_compressed_run_is_checked_like_any_other(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    expected = verify(layout)
    compress(layout)
    found = verify(layout)
    assert found.counts == expected.counts
    assert "results.jsonl.gz, line 6, byte" in str(found.faults[0])


def test_a_compressed_log_that_ends_early_is_damaged(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    compress(layout)
    layout.compressed.write_bytes(layout.compressed.read_bytes()[:-40])
    assert any("cannot be unpacked any further" in text for text in told(layout, Kind.DAMAGED))


def test_a_run_without_a_record_is_unfinished_and_fine(tmp_path: Path) -> None:
    layout = healthy(tmp_path, done=0)
    report = verify(layout)
    assert (report.ok, kinds(layout)) == (True, {Kind.UNFINISHED})
    assert "10 of 10 samples have no record yet: 0-9" in report.notes[0].what


@pytest.mark.parametrize("order", [range(7), range(9, 3, -1), range(0, 10, 2)])
def test_an_unfinished_run_is_fine_in_whatever_order_it_was_worked_on(tmp_path: Path, order: range) -> None:
    layout = healthy(tmp_path, order=order)
    report = verify(layout)
    assert (report.ok, kinds(layout), report.records) == (True, {Kind.UNFINISHED}, len(order))


@pytest.mark.parametrize("position", range(0, 80, 7))
def test_a_flipped_bit_is_found_with_file_line_and_byte(tmp_path: Path, position: int) -> None:
    layout = healthy(tmp_path)
    changed = lines(layout)
    start_bytes = sum(map(len, changed[:4]))
    changed[4] = changed[4][:position] + bytes([changed[4][position] ^ 0x10]) + changed[4][position + 1 :]
    rewrite(layout, changed)
    assert told(layout, Kind.DAMAGED) == [
        f"results.jsonl, line 5, byte {start_bytes}: the checksum does not match",
    ]
    assert told(layout, Kind.GAP) == ["results.jsonl: no record of 4, which checkpoint.json calls completed"]


def test_a_stretch_of_bad_lines_is_one_finding(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.zero_a_stretch(layout)
    (found,) = told(layout, Kind.DAMAGED)
    assert found.startswith("results.jsonl, line 4, byte ")
    assert "(2 lines, up to byte " in found
    assert verify(layout).counts[Kind.DAMAGED] == 2


def test_a_deleted_line_is_a_gap_and_the_checkpoint_does_not_agree(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.delete_line(layout)
    assert kinds(layout) == {Kind.GAP, Kind.CHECKPOINT, Kind.UNFINISHED, Kind.TOO_SHORT}
    assert told(layout, Kind.GAP) == ["results.jsonl: no record of 5, which checkpoint.json calls completed"]


def test_a_duplicated_line_is_found(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    start_bytes = sum(map(len, lines(layout)[:7]))
    damage.duplicate_line(layout)
    assert told(layout, Kind.DUPLICATE) == [
        f"results.jsonl, line 8, byte {start_bytes}: sample 6 is already recorded",
    ]


def test_records_of_samples_that_the_run_does_not_have_are_found(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.insert_a_line_of_a_longer_run(layout)
    (found,) = told(layout, Kind.OUT_OF_RANGE)
    assert "line 3" in found
    assert "sample 700 is not one of the run's 10 samples" in found


def test_a_record_of_an_attempt_that_was_taken_over_from_is_found(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.insert_a_line_of_the_first_attempt(layout)
    (found,) = told(layout, Kind.FENCED_OFF)
    assert "line 9" in found
    assert "sample 9 by attempt 1, after attempt 2 had begun" in found
    assert Kind.DUPLICATE not in kinds(layout)


def test_another_runs_lines_at_the_end_are_duplicates(tmp_path: Path) -> None:
    layout, other = healthy(tmp_path), healthy(tmp_path, "other")
    layout.results.write_bytes(layout.results.read_bytes() + b"".join(lines(other)[4:6]))
    assert verify(layout).counts == {Kind.DUPLICATE: 2}


def test_a_log_that_lost_what_had_been_on_the_disk_is_too_short(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    end_bytes = sum(map(len, lines(layout)[:2]))
    damage.cut_at_a_line(layout)
    assert f"it ends at byte {end_bytes}, and" in told(layout, Kind.TOO_SHORT)[0]
    (began,) = told(layout, Kind.BEYOND_THE_END)
    assert began.startswith("attempts/attempt-0002.json: it began at byte ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("last_completed_idx", 8), ("completed_above", [[12, 13]]), ("samples_processed", 9), ("correct_count", 4),
        ("accuracy", 0.5), ("status_counts", {"success": 10}), ("score_sums", {"em": 4.5001}), ("score_sums", {}),
        ("attempt", 1), ("synced_bytes", 1 << 40), ("in_flight", [[3, 5]]),
    ],
)  # fmt: skip
def test_every_number_of_the_checkpoint_is_recomputed(tmp_path: Path, name: str, value: object) -> None:
    layout = healthy(tmp_path)
    damage.change_the_checkpoint(layout, **{name: value})
    assert any(text.startswith(f"checkpoint.json: {name} is ") for text in told(layout, Kind.CHECKPOINT))


@pytest.mark.parametrize("shift", [-1, 1, 100_000])
def test_an_offset_that_is_no_lines_end_is_found(tmp_path: Path, shift: int) -> None:
    layout = healthy(tmp_path)
    damage.change_the_checkpoint(layout, log_offset_bytes=layout.results.stat().st_size + shift)
    assert any("where no line of the log ends" in text for text in told(layout, Kind.CHECKPOINT))


def test_a_checkpoint_that_lags_behind_agrees_with_the_log_up_to_its_offset(tmp_path: Path) -> None:
    layout = healthy(tmp_path, done=4)
    earlier = layout.checkpoint.read_bytes()
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(4), Record(5))
    layout.checkpoint.write_bytes(earlier)
    assert kinds(layout) == {Kind.UNFINISHED}


def test_a_damaged_or_foreign_checkpoint_is_found(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_a_bit_of_the_checkpoint(layout)
    assert told(layout, Kind.CHECKPOINT) == ["checkpoint.json: the checksum does not match"]
    damage.take_anothers_checkpoint(layout)
    assert "it is that of the run" in told(layout, Kind.CHECKPOINT)[0]


def test_a_missing_checkpoint_is_a_note(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    layout.checkpoint.unlink()
    assert (verify(layout).ok, kinds(layout)) == (True, {Kind.NO_CHECKPOINT})


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"model": "m"', b'"model": "n"', "the fingerprint does not match the identity beside it"),
        (b'"total_samples": 10', b'"total_samples": 12', "the checksum does not match"),
        (b'"identity"', b'"Identity"', "not a description of a run"),
    ],
)
def test_an_edited_description_is_found(tmp_path: Path, old: bytes, new: bytes, what: str) -> None:
    layout = healthy(tmp_path)
    layout.run.write_bytes(layout.run.read_bytes().replace(old, new))
    (found,) = told(layout, Kind.DESCRIPTION)
    assert found.startswith(f"run.json: {what}")
    assert "Nothing was changed" not in found


@pytest.mark.parametrize(
    ("total", "what"),
    [(12, "total_samples is 12, and 10 in checkpoint.json"), ("10", "total_samples is '10', no number")],
)
def test_an_edited_total_is_found_in_an_early_description_that_has_no_checksum(
    tmp_path: Path, total: object, what: str
) -> None:
    layout = healthy(tmp_path)
    damage.edit_total(layout, total)
    assert told(layout, Kind.DESCRIPTION) == [f"run.json: {what}"]


def test_a_missing_description_is_found(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    layout.run.unlink()
    assert "missing" in told(layout, Kind.DESCRIPTION)[0]


def test_a_newer_versions_run_is_refused(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    layout.run.write_bytes(layout.run.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(UnsupportedFormat):
        verify(layout)


def test_a_torn_tail_and_leftovers_of_a_crash_are_notes(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.tear_the_tail(layout)
    damage.leave_a_temporary_file(layout)
    (layout.attempts / "attempt-0001.json").write_bytes(b"{")
    report = verify(layout)
    assert (report.ok, set(report.counts)) == (True, {Kind.TORN_TAIL, Kind.LEFTOVER, Kind.UNREADABLE_ATTEMPT})
    assert report.counts[Kind.TORN_TAIL] == len(lines(layout)[-1])


def test_of_many_findings_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    rewrite(layout, lines(layout) * 50)
    report = verify(layout)
    assert report.counts[Kind.DUPLICATE] + report.counts[Kind.FENCED_OFF] == 49 * TOTAL
    assert sum(each.kind is Kind.DUPLICATE for each in report.findings) == KEPT_PER_KIND


WRITE_ON = """
import sys
from checkpoints import CheckpointManager, Record
with CheckpointManager(sys.argv[1], "live").open(total_samples=10_000_000) as run:
    run.begin(range(5))
    print("open", flush=True)
    idx = 0
    while True:
        run.record(Record(idx, f"s{idx}", is_correct=idx % 3 == 0, scores={"em": 0.1}, extra={"response": "x" * 500}))
        idx += 1
"""


def test_beside_a_writer_at_full_speed_nothing_is_ever_off(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "live")
    seen: list[int] = []
    with start(WRITE_ON, tmp_path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        while len(seen) < 8 or seen[-1] < 3_000:
            report = verify(layout)
            assert (report.faults, report.live) == ((), True)
            assert set(report.counts) == {Kind.UNFINISHED}
            seen.append(report.records)
        writer.kill()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    assert verify(layout).ok


CRASH_ON = """
import os, sys
from checkpoints import CheckpointManager, Record
for attempt in range(60):
    if not os.fork():
        run = CheckpointManager(sys.argv[1], "live").open(total_samples=1_000_000)
        for idx in range(attempt * 20, attempt * 20 + 20):
            run.record(Record(idx, extra={"response": "x" * 5000}))
        log = os.open(run.layout.results, os.O_WRONLY | os.O_APPEND)
        os.write(log, run.layout.results.read_bytes()[:4000])
        os._exit(1)
    os.wait()
    if not attempt:
        print("open", flush=True)
"""


def test_beside_a_run_that_crashes_and_is_resumed_nothing_is_ever_off(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "live")
    looks = 0
    with start(CRASH_ON, tmp_path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        while writer.poll() is None:
            report = verify(layout)
            assert (report.faults, report.records >= 20) == ((), True)
            looks += 1
    assert writer.returncode == 0
    assert looks > 10
    assert verify(layout).records == 60 * 20


def test_who_opens_the_run_and_cuts_it_where_it_is_being_read_makes_it_no_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = healthy(tmp_path, done=6)
    with layout.results.open("ab") as log:
        log.write(b"x" * 20_000)  # more than a reader takes at once
    writers: list[CheckpointManager] = []

    def interrupted(*arguments: Any) -> Iterator[Verdict]:
        for verdict in verdicts(*arguments):
            yield verdict
            if verdict.line == 6 and not writers:
                writers.append(CheckpointManager(tmp_path, "r").open())
                writers[0].record(*[Record(idx, extra={"response": "y" * 9_000}) for idx in range(6, TOTAL)])

    monkeypatch.setattr("checkpoints.verify.verdicts", interrupted)
    report = verify(layout)
    writers[0].close()
    assert (report.faults, report.records, report.live) == ((), TOTAL, True)


MEASURE = """
import resource, sys
from pathlib import Path
from checkpoints.layout import RunLayout
from checkpoints.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = verify(RunLayout(Path(sys.argv[1])))
print(report.records, report.ok, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_results(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "big").open(total_samples=20_000) as run:
        for first in range(0, 20_000, 500):
            run.record(*[Record(idx, extra={"response": "x" * 3_000}) for idx in range(first, first + 500)])
    assert (tmp_path / "big" / "results.jsonl").stat().st_size > 60_000_000
    records, ok, grown_kib = python(tmp_path / "big", code=MEASURE).stdout.split()
    assert (records, ok) == ("20000", "True")
    assert int(grown_kib) < 10_000


def test_a_killed_and_resumed_run_equals_one_in_another_order(tmp_path: Path) -> None:
    resumed, whole = healthy(tmp_path, "resumed"), healthy(tmp_path, "whole", order=range(9, -1, -1))
    assert compare(resumed, whole) == compare(whole, resumed) == ()
    compress(whole)
    assert compare(resumed, whole) == compare(whole, resumed) == ()


def test_every_difference_between_two_runs_is_named(tmp_path: Path) -> None:
    one, other = healthy(tmp_path, "one"), healthy(tmp_path, "other")
    changed = lines(other)
    changed[2] = reseal(changed[2], is_correct=False, timestamp=1.0)
    changed[5] = reseal(changed[5], model_answer="7", note="new")
    rewrite(other, changed[:9])
    assert [each.what for each in compare(one, other)] == [
        "sample 2: is_correct is True, in the other run False",
        "sample 5: model_answer is None, in the other run '7'",
        "sample 5: note is '(not there)', in the other run 'new'",
        "only one has records of 9",
    ]


def test_runs_of_other_settings_are_not_compared_record_by_record(tmp_path: Path) -> None:
    one = healthy(tmp_path, "one")
    with CheckpointManager(tmp_path, "other").open(total_samples=TOTAL, identity={"model": "n"}) as run:
        run.record(Record(0, "else"))
    (found,) = compare(one, RunLayout(tmp_path / "other"))
    assert found.what == "model is 'm', in other 'n'"


def test_a_number_is_not_its_text_and_true_is_not_one() -> None:
    assert [*unlike({"a": 1, "b": "1", "timestamp": 1}, {"a": True, "b": 1, "timestamp": 2})] == [
        "a is 1, in the other run True",
        "b is '1', in the other run 1",
    ]


def test_without_a_total_two_runs_are_compared_too(tmp_path: Path) -> None:
    for name in ("one", "other"):
        with CheckpointManager(tmp_path, name).open() as run:
            run.record(Record(10**15, "far"), Record(3, name))
    (found,) = compare(RunLayout(tmp_path / "one"), RunLayout(tmp_path / "other"))
    assert found.what == "sample 3: sample_id is 'one', in the other run 'other'"


@pytest.mark.parametrize("part", ["", "checkpoint.json"])
def test_a_run_is_located_by_its_folder_or_its_checkpoint(tmp_path: Path, part: str) -> None:
    layout = healthy(tmp_path)
    assert locate(layout.root / part) == layout
    for nowhere in (tmp_path, tmp_path / "none" / part):
        with pytest.raises(RunNotFound):
            locate(nowhere)


def test_ranges_are_subtracted_as_sets_are() -> None:
    def members(ranges: list[tuple[int, int]]) -> set[int]:
        return {idx for start, end in ranges for idx in range(start, end + 1)}

    def ranges_of(bits: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for idx in range(7):
            if bits >> idx & 1:
                if found and found[-1][1] == idx - 1:
                    found[-1] = (found[-1][0], idx)
                else:
                    found.append((idx, idx))
        return found

    for one in range(128):
        for other in range(128):
            left = list(subtract(ranges_of(one), ranges_of(other)))
            assert members(left) == members(ranges_of(one & ~other))
            assert overlap(ranges_of(one), ranges_of(other)) == bool(one & other)
