"""Two writers at one run: the lock keeps the second out; where it cannot, the first does no harm any more."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.crash import oracle
from tests.crash.oracle import Violated
from tests.crash.support import Ended, Writers, fresh, run_in
from tests.crash.writer import Job

TOTAL = 40
PAUSE_S = 0.004


@dataclass(frozen=True)
class Fought:
    """What became of the two, and how often the owner had been told that a record is kept when it was frozen."""

    owner: Ended
    other: Ended
    frozen_after: int

    @property
    def kept(self) -> dict[int, int]:
        """What has to survive: all that was acknowledged but by the owner once it had been taken over."""
        early = self.owner.told("acknowledged")[: self.frozen_after]
        return {idx: each["attempt"] for each in early for idx in each["idxs"]} | self.other.acknowledged

    @property
    def told_too_often(self) -> int:
        """How many records the owner was told are kept after it had been taken over."""
        return len(self.owner.told("acknowledged")) - self.frozen_after


@dataclass(frozen=True)
class Duel:
    """The owner is frozen after some records, another writer comes, the owner thaws."""

    owner: Job
    other: Job
    bug: str = ""
    meanwhile: int = 0  # records that the other one makes before the owner thaws; 0: all that it can

    def fight(self) -> Fought:
        """Let them."""
        with Writers(self.bug) as writers:
            owner = writers.start(self.owner)
            writers.wait_for(owner, 7)
            frozen_after = writers.freeze(owner)
            try:
                other = writers.start(self.other)
                writers.wait_for(other, self.meanwhile or self.other.total)
            finally:
                os.kill(owner, signal.SIGCONT)
            return Fought(writers.end(owner), writers.end(other), frozen_after)

    def check_takeover(self) -> Fought:
        """The owner ends itself, and the run is the other one's. Raises Violated."""
        fought = self.fight()
        run, total = run_in(Path(self.owner.directory)), self.owner.total
        if fought.owner.outcome != "RunFenced":
            raise Violated(f"the owner that was taken over ended with {fought.owner.outcome}")
        if fought.other.outcome != "finished":
            raise Violated(f"the new owner ended with {fought.other.outcome}")
        oracle.check_finished(run, total, fought.kept, fought.other.statistics, numbers_only=True)
        with Writers(self.bug) as writers:  # whoever looks later finds the same
            oracle.check_statistics(run, writers.run(self.other).told("opened")[0]["before"])
        oracle.check_finished(run, total, fought.kept, fought.other.statistics)
        return fought


def duel(folder: Path, bug: str = "", *, unlocked: bool = True, meanwhile: int = 0) -> Duel:
    owner = Job(str(fresh(folder / "live")), TOTAL, unlocked=unlocked, pause_s=PAUSE_S, interval_s=0.05)
    return Duel(owner, replace(owner, pause_s=PAUSE_S if meanwhile else 0.0), bug, meanwhile)


def check_lock(folder: Path, bug: str = "") -> None:
    """A second writer is refused, also while the first one sleeps. Raises Violated."""
    fought = duel(folder, bug, unlocked=False).fight()
    owner, other = fought.owner, fought.other
    if other.outcome != "RunLocked":
        raise Violated(f"the second writer was not refused: {other.outcome}")
    assert f"process {owner.pid} on" in other.events[-2]["message"]
    if owner.outcome != "finished":
        raise Violated(f"the owner ended with {owner.outcome}")
    oracle.check_finished(run_in(folder / "live"), TOTAL, owner.acknowledged, owner.statistics)


def test_a_second_writer_is_refused_while_the_first_one_sleeps(fast_path: Path) -> None:
    check_lock(fast_path)


@pytest.mark.parametrize("meanwhile", [0, 1, 12], ids=["when the other is done", "at its first record", "amid them"])
def test_where_locks_fail_a_frozen_owner_that_thaws_does_no_harm(fast_path: Path, meanwhile: int) -> None:
    fought = duel(fast_path, meanwhile=meanwhile).check_takeover()
    print(f"the old owner was told {fought.told_too_often} times too often")


def test_where_locks_fail_the_owner_in_strict_mode_is_told_nothing_wrong(fast_path: Path) -> None:
    fight = duel(fast_path)
    fought = replace(fight, owner=replace(fight.owner, durability="strict")).check_takeover()
    assert fought.told_too_often <= 1  # one may have been on its way when it was frozen


def test_where_locks_fail_the_owner_never_replaces_the_new_ones_checkpoint(fast_path: Path) -> None:
    """Every other sample leaves so many ranges that the checkpoint outgrows its size: time for a new file."""
    total = 320
    owner = Job(
        str(fresh(fast_path / "live")), total, tuple(range(0, total, 2)), 1, durability="process", pause_s=0.001,
        unlocked=True, begins=False,
    )  # fmt: skip
    fought = Duel(owner, replace(owner, idxs=None, pause_s=0.0)).check_takeover()
    assert fought.told_too_often <= 2  # it looks each time that it tells the readers, though it syncs every 30 s


@pytest.mark.parametrize("bug", ["fences_nobody_off", "notices_a_takeover_never"])
def test_the_duel_catches_a_store_that(bug: str, fast_path: Path) -> None:
    with pytest.raises(Violated) as caught:
        duel(fast_path, bug, meanwhile=1).check_takeover()
    print(caught.value)


def test_the_duel_catches_a_store_that_unlinks_the_lock(fast_path: Path) -> None:
    with pytest.raises(Violated) as caught:
        check_lock(fast_path, "unlinks_the_lock")
    print(caught.value)
