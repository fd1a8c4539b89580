"""A damaged run becomes what its valid records say; nothing is lost, whatever interrupts the repair."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, Record, StorageFailed
from checkpoints.encoding import BadLine
from checkpoints.layout import RunLayout
from checkpoints.record import Record as Line
from checkpoints.repair import CannotRepair, Plan, perform, plan
from checkpoints.report import Kind
from checkpoints.verify import verify
from tests.checkpoints import damage
from tests.checkpoints.damage import REPAIRABLE, TOTAL, healthy, lines, snapshot
from tests.checkpoints.support import python

NOW = 1_700_000_000.0
ASIDE = "repair-20231114T221320Z"

Damage = Callable[[RunLayout], None]


def repair(layout: RunLayout) -> Path | None:
    report = verify(layout)
    return perform(layout, report.total_samples, plan(report), NOW)


def records_by_hand(data: bytes) -> dict[int, bytes]:
    """The first valid line of each sample of the run, except what a frozen first attempt wrote late."""
    found: dict[int, bytes] = {}
    attempt = 0
    for line in data.splitlines(keepends=True):
        try:
            record = Line.decode(line)
        except BadLine:
            continue
        if record.idx < TOTAL and record.attempt >= attempt:
            found.setdefault(record.idx, line)
            attempt = record.attempt
    return found


def finish(layout: RunLayout) -> None:
    with CheckpointManager(layout.root.parent, layout.root.name).open(total_samples=TOTAL) as run:
        for idx in range(TOTAL):
            if not run.is_completed(idx):
                run.record(Record(idx, f"s{idx}", is_correct=idx % 2 == 0))


@pytest.mark.parametrize("harm", REPAIRABLE)
def test_a_repaired_run_keeps_every_valid_record_byte_for_byte_and_can_be_finished(
    tmp_path: Path, harm: Damage
) -> None:
    layout = healthy(tmp_path)
    harm(layout)
    damaged = snapshot(layout)
    expected = records_by_hand(damaged["results.jsonl"])
    repair(layout)
    assert lines(layout) == [*expected.values()]
    report = verify(layout)
    assert report.ok
    assert not plan(report)
    finish(layout)
    assert verify(layout).counts == {}
    assert CheckpointManager(tmp_path, "r").get_statistics().samples_processed == TOTAL
    assert {**records_by_hand(layout.results.read_bytes()), **expected} == records_by_hand(layout.results.read_bytes())


@pytest.mark.parametrize("harm", [each for each in REPAIRABLE if each is not damage.leave_a_temporary_file])
def test_what_was_there_is_kept_aside(tmp_path: Path, harm: Damage) -> None:
    layout = healthy(tmp_path)
    harm(layout)
    damaged = snapshot(layout)
    aside = repair(layout)
    assert aside == layout.attempts / ASIDE
    after = snapshot(layout)
    for name, data in damaged.items():
        if after.get(name) != data:
            assert (aside / Path(name).name).read_bytes() == data, name


def test_a_sound_run_needs_nothing(tmp_path: Path) -> None:
    for name, done in (("finished", TOTAL), ("halfway", 7), ("fresh", 0)):
        wanted = plan(verify(healthy(tmp_path, name, done)))
        assert not wanted
        assert [*wanted.steps()] == []


def test_a_torn_tail_alone_leaves_the_checkpoint(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    before = snapshot(layout)
    damage.tear_the_tail(layout)
    torn = layout.results.read_bytes()
    repair(layout)
    assert snapshot(layout) == {**before, f"attempts/{ASIDE}/results.jsonl": torn}


def test_a_wrong_checkpoint_alone_leaves_the_log(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.miscount(layout)
    before, written = snapshot(layout), layout.results.stat()
    repair(layout)
    assert layout.results.stat().st_ino == written.st_ino
    assert not layout.checkpoint.exists()
    assert snapshot(layout)[f"attempts/{ASIDE}/checkpoint.json"] == before["checkpoint.json"]


def test_attempts_begin_at_the_same_records_as_before(tmp_path: Path) -> None:
    """Else a frozen writer's late records would count between the old beginning and the new end of the log."""
    layout = healthy(tmp_path)
    damage.flip_bit(layout, 1)
    repair(layout)
    begins = sum(map(len, lines(layout)[:3]))
    assert f'"start_bytes":{begins},'.encode() in layout.attempt(2).read_bytes()
    assert b'"start_bytes":0,' in layout.attempt(1).read_bytes()


def test_a_damaged_compressed_log_becomes_a_plain_one(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    expected = records_by_hand(layout.results.read_bytes())
    layout.compressed.write_bytes(gzip.compress(layout.results.read_bytes()))
    layout.results.unlink()
    packed = layout.compressed.read_bytes()
    aside = repair(layout)
    assert aside is not None
    assert (aside / "results.jsonl.gz").read_bytes() == packed
    assert (lines(layout), layout.compressed.exists()) == ([*expected.values()], False)
    finish(layout)
    assert verify(layout).counts == {}


def test_a_compressed_log_that_ends_early_gives_what_can_be_unpacked(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    sound = lines(layout)
    packed = gzip.compress(layout.results.read_bytes(), compresslevel=0)
    layout.compressed.write_bytes(packed[: len(packed) - len(sound[-1]) - 20])
    layout.results.unlink()
    repair(layout)
    kept = lines(layout)
    assert kept == sound[: len(kept)]
    assert verify(layout).ok


def test_two_repairs_in_one_second_keep_their_files_apart(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    kept = []
    for _ in range(2):
        damage.duplicate_line(layout)
        kept.append(repair(layout))
    assert kept == [layout.attempts / ASIDE, layout.attempts / f"{ASIDE}-2"]


def edit_identity(layout: RunLayout) -> None:
    layout.run.write_bytes(layout.run.read_bytes().replace(b'"model": "m"', b'"model": "n"'))


def remove_description(layout: RunLayout) -> None:
    layout.run.unlink()


@pytest.mark.parametrize("harm", [edit_identity, damage.edit_total, remove_description])
def test_a_damaged_description_cannot_be_repaired(tmp_path: Path, harm: Damage) -> None:
    layout = healthy(tmp_path)
    harm(layout)
    damage.duplicate_line(layout)
    with pytest.raises(CannotRepair, match=r"run\.json: .* kept nowhere else"):
        plan(verify(layout))


def test_a_plan_says_how_much_goes() -> None:
    dropped = {Kind.DAMAGED: 1, Kind.DUPLICATE: 2}
    wanted = Plan(dropped, torn_bytes=30, recount=False, reset_attempts=False, leftovers=1)
    assert [step.split(":")[0] for step in wanted.steps()] == [
        "drop 1 damaged line", "drop 2 duplicates", "cut 30 bytes off the end of the log",
        "remove checkpoint.json", "remove 1 file left by interrupted replacements",
    ]  # fmt: skip


def test_when_the_copies_cannot_be_kept_nothing_is_changed(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.duplicate_line(layout)
    wanted = plan(verify(layout))
    shutil.rmtree(layout.attempts)
    layout.attempts.write_bytes(b"a file in the way")
    before = snapshot(layout)
    with pytest.raises(StorageFailed):
        perform(layout, TOTAL, wanted, NOW)
    assert snapshot(layout) == before


# Forks a child per moment: each copies the damaged run and is killed right before its n-th call that opens, renames or
# removes a file of the run, until one gets through.
KILL_REPAIR = """
import os, shutil, signal, sys
from pathlib import Path
from checkpoints.layout import RunLayout
from checkpoints.repair import perform, plan
from checkpoints.verify import verify

damaged, states = map(Path, sys.argv[1:])
moment, killed = 0, True
while killed:
    moment += 1
    root = states / str(moment)
    shutil.copytree(damaged, root)
    report = verify(RunLayout(root))
    if not (pid := os.fork()):
        calls = 0
        def strike(event, arguments):
            global calls
            if event in {"open", "os.rename", "os.remove", "os.mkdir"} and str(arguments[0]).startswith(str(root)):
                calls += 1
                if calls == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(strike)
        perform(RunLayout(root), report.total_samples, plan(report), 1_700_000_000.0)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
print(moment)
"""


@pytest.mark.parametrize(
    "harm", [damage.flip_bit, damage.insert_a_line_of_the_first_attempt, damage.cut_at_a_line, damage.tear_the_tail]
)
def test_a_repair_killed_at_any_moment_leaves_the_old_run_or_the_repaired_one(tmp_path: Path, harm: Damage) -> None:
    layout = healthy(tmp_path)
    harm(layout)
    old = layout.results.read_bytes()
    expected = records_by_hand(old)
    new = b"".join(expected.values())
    (tmp_path / "states").mkdir()
    done = python(layout.root, tmp_path / "states", code=KILL_REPAIR)
    assert (done.returncode, done.stderr) == (0, "")
    moments = int(done.stdout)
    assert moments > 8
    found = set()
    for moment in range(1, moments + 1):
        state = RunLayout(tmp_path / "states" / str(moment))
        found.add(state.results.read_bytes())
        repair(state)
        assert state.results.read_bytes() == new
        assert verify(state).ok
        assert CheckpointManager(state.root.parent, state.root.name).get_statistics().samples_processed == len(expected)
    assert found == {old, new}


def test_every_state_of_a_killed_repair_can_be_resumed_or_refuses(tmp_path: Path) -> None:
    """The old checkpoint beside the new log would call samples done whose records were dropped."""
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    (tmp_path / "states").mkdir()
    moments = int(python(layout.root, tmp_path / "states", code=KILL_REPAIR).stdout)
    for moment in range(1, moments + 1):
        state = RunLayout(tmp_path / "states" / str(moment))
        log = state.results.read_bytes()
        if len(log.splitlines()) < TOTAL:
            assert not state.checkpoint.exists()
            finish(state)
            assert verify(state).faults == ()
