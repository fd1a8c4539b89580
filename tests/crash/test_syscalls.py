"""Killed, or refused, at every system call: strace strikes each one of the store's in turn, also during recovery."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.crash.oracle import Violated, log_bytes
from tests.crash.support import (
    Ended,
    Point,
    Writers,
    check_no_fsync_is_retried,
    fresh,
    judge,
    points_of,
    run_in,
    traced,
    why_not_traceable,
)
from tests.crash.writer import IN_VAIN, Job

TOTAL = 10
KILL = "signal=SIGKILL"
ERRORS = ["error=EIO", *[pytest.param(error, marks=pytest.mark.slow) for error in ("error=ENOSPC", "error=EINTR")]]


@pytest.fixture(autouse=True, scope="module")
def _needs_strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := why_not_traceable(tmp_path_factory.mktemp("probe")):
        pytest.skip(reason)


@dataclass(frozen=True)
class Sweep:
    """Strike each call of one job in turn, `depth` times in a row, then resume to the end."""

    folder: Path
    fault: str
    bug: str = ""
    torn: bool = False
    depth: int = 1
    background: bool = False

    @property
    def job(self) -> Job:
        job = Job(str(self.folder / "live"), TOTAL, batch=2, commit_every=2)
        # Pauses, in which the background thread finds something to do.
        return replace(job, commit_every=0, interval_s=0.002, pause_s=0.012) if self.background else job

    @property
    def base(self) -> Path | None:
        return self.folder / "base" if self.torn else None

    def run(self) -> list[tuple[Point, list[Ended]]]:
        """Every point, and what the fault did there. Raises Violated at the first broken promise."""
        with Writers(self.bug) as harmed, Writers(self.bug) as unharmed:
            if self.base:
                torn_run(unharmed, self.base)
            points = self.learn(harmed)
            with traced(harmed, self.folder / "trace", self.fault):
                struck = [(point, self.strike(point, harmed, unharmed)) for point in points]
        check_no_fsync_is_retried(self.folder / "trace")
        return struck

    def learn(self, writers: Writers) -> list[Point]:
        """The calls there are to be struck, from a run that nothing happens to."""
        fresh(self.folder / "live", self.base)
        with traced(writers, self.folder / "learn"):
            ended = writers.run(self.job)
        points = points_of(self.folder / "learn", ended.pid)
        return [point for point in points if point.background == self.background]

    def strike(self, point: Point, harmed: Writers, unharmed: Writers) -> list[Ended]:
        """Do the job with the fault at this point, then without."""
        live = fresh(self.folder / "live", self.base)
        ended = [harmed.run(point.job(self.job)) for _ in range(self.depth)]
        crashed = fresh(self.folder / "crashed", live)
        resumed = unharmed.run(self.job)
        try:
            judge(ended, run_in(crashed), resumed, run_in(live), TOTAL)
        except Violated as error:
            raise Violated(f"{self.fault} at {point}: {error}") from error
        return ended


def torn_run(writers: Writers, base: Path) -> None:
    """Five samples, the last one not synced yet and half of a sixth after it: what a kill leaves."""
    half = Job(str(fresh(base)), TOTAL, idxs=(0, 1, 2, 3, 4), commit_every=2)
    with traced(writers, base.with_suffix(".trace"), KILL):
        killed = writers.run(Point("fdatasync", 4).job(half))
    assert killed.status == -signal.SIGKILL
    assert sorted(killed.acknowledged) == [0, 1, 2, 3, 4]
    last = log_bytes(run_in(base)).splitlines(keepends=True)[-1]
    with (run_in(base) / "results.jsonl").open("ab") as log:
        log.write(last.replace(b'"idx":4', b'"idx":5')[: len(last) // 2])


def outcomes(struck: list[tuple[Point, list[Ended]]], *names: str) -> Counter[str]:
    """How the writers ended whose calls of these names were struck."""
    return Counter(each.outcome for point, ended in struck for each in ended if point.name in names)


@pytest.mark.parametrize(
    ("torn", "depth"),
    [(False, 1), (True, 1), (True, 2)],
    ids=["a new run", "recovery from a torn tail", "recovery from a crashed recovery"],
)
def test_killed_before_any_system_call_nothing_acknowledged_is_lost(fast_path: Path, torn: bool, depth: int) -> None:
    struck = Sweep(fast_path, KILL, torn=torn, depth=depth).run()
    killed = sum(ended[0].status == -signal.SIGKILL for _, ended in struck)
    print(f"killed at {killed} of {len(struck)} system calls")
    assert killed == len(struck) > 50
    names = {point.name for point, _ in struck}
    assert names == {*IN_VAIN} if not torn else names >= {"write", "pwrite64", "fdatasync", "ftruncate", "link"}


@pytest.mark.parametrize("torn", [False, True], ids=["a new run", "recovery from a torn tail"])
@pytest.mark.parametrize("fault", ERRORS)
def test_refused_at_any_system_call_it_says_so_and_the_next_run_continues(
    fast_path: Path, fault: str, torn: bool
) -> None:
    struck = Sweep(fast_path, fault, torn=torn).run()
    print(outcomes(struck, *IN_VAIN))
    interrupted = fault == "error=EINTR"  # which Python itself answers by trying again
    assert set(outcomes(struck, "write", "fdatasync", "fsync")) == {"finished" if interrupted else "StorageFailed"}
    assert set(outcomes(struck, "link", "rename")) == {"StorageFailed"}


@pytest.mark.parametrize("fault", [KILL, "error=EIO"])
def test_struck_in_the_background_thread_nothing_acknowledged_is_lost(fast_path: Path, fault: str) -> None:
    struck = Sweep(fast_path, fault, background=True).run()
    hit = outcomes(struck, "fdatasync")
    print(hit)
    assert hit["exit -9" if fault == KILL else "StorageFailed"]


@pytest.mark.parametrize(
    ("bug", "fault", "torn"),
    [
        ("acknowledges_before_writing", KILL, False),
        ("checkpoints_before_the_log", KILL, False),
        ("replaces_in_place", KILL, False),
        ("leaves_the_torn_tail", KILL, True),
        ("ends_the_torn_tail_with_a_newline", KILL, True),
        ("retries_the_fsync", "error=EIO", False),
        ("swallows_a_full_disk", "error=ENOSPC", False),
    ],
)
def test_the_sweep_catches_a_store_that(bug: str, fault: str, torn: bool, fast_path: Path) -> None:
    with pytest.raises(Violated) as caught:
        Sweep(fast_path, fault, bug, torn).run()
    print(caught.value)
