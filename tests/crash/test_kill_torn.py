"""Killed in the middle of write(2): lines tear, in a share of the kills, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.oracle import Violated, log_bytes, unsealed
from tests.crash.support import Ended, Writers, fresh, judge, run_in
from tests.crash.writer import Job

READ_AHEAD_BYTES = 1 << 20  # what resuming may read beyond twice the part that was not synced
WINDOW_S = 0.012


@dataclass
class Kills:
    """How many kills, and how many of them tore a line."""

    count: int = 0
    torn: int = 0

    def __str__(self) -> str:
        return f"{self.torn} of {self.count} kills tore a line"


def kill(writers: Writers, job: Job, window_s: float) -> Ended:
    """Start a writer and kill it a moment after its first record."""
    pid = writers.start(job)
    writers.wait_for(pid, 1)
    time.sleep(random.uniform(0.0, window_s))
    os.kill(pid, signal.SIGKILL)
    return writers.end(pid)


def kill_often(folder: Path, job: Job, *, seconds: float, tear: int = 0, bug: str = "") -> Kills:
    """Kill a run three times, resume it to the end, judge it; again and again until time is up. Raises Violated.

    It goes on for up to ten times as long while fewer than `tear` lines were torn.
    """
    kills, began_s = Kills(), time.monotonic()
    with Writers(bug) as writers:
        while (passed_s := time.monotonic() - began_s) < seconds or (kills.torn < tear and passed_s < 10 * seconds):
            live, killed = fresh(Path(job.directory)), []
            for _ in range(3):
                killed.append(kill(writers, job, WINDOW_S))
                kills.count += 1
                kills.torn += log_bytes(run_in(live))[-1:] != b"\n"
            crashed = fresh(folder / "crashed", live)
            judge(killed, run_in(crashed), writers.run(job), run_in(live), job.total)
    return kills


def job_of(folder: Path, writes: str) -> Job:
    """A run of 600 B records, one or 500 per write, or of 100 kB records."""
    total, batch, size = {"600 B": (1500, 1, 420), "500 x 600 B": (4000, 500, 420), "100 kB": (60, 1, 100_000)}[writes]
    return Job(str(folder / "live"), total, batch=batch, size=size, durability="process")


@pytest.mark.parametrize(("writes", "tear"), [("600 B", 0), ("500 x 600 B", 1), ("100 kB", 1)])
def test_killed_while_writing_nothing_acknowledged_is_lost(fast_path: Path, writes: str, tear: int) -> None:
    kills = kill_often(fast_path, job_of(fast_path, writes), seconds=4.0, tear=tear)
    print(f"{writes} at a time: {kills}")
    assert kills.count >= 6
    assert kills.torn >= tear


@pytest.mark.parametrize(
    ("bug", "writes"),
    [
        ("acknowledges_before_writing", "600 B"),
        ("leaves_the_torn_tail", "100 kB"),
        ("ends_the_torn_tail_with_a_newline", "100 kB"),
    ],
)
def test_the_kills_catch_a_store_that(bug: str, writes: str, fast_path: Path) -> None:
    with pytest.raises(Violated) as caught:
        kill_often(fast_path, job_of(fast_path, writes), seconds=30.0, bug=bug)
    print(str(caught.value)[:300])


@pytest.mark.parametrize("bug", ["", "forgets_the_checkpoint"])
def test_resuming_after_a_kill_reads_only_what_was_not_synced(fast_path: Path, bug: str) -> None:
    live = fresh(fast_path / "live")
    done = tuple(range(5000))
    with Writers() as sound, Writers(bug) as writers:
        assert sound.run(Job(str(live), 6000, idxs=done, batch=500, size=420)).outcome == "finished"
        job = Job(str(live), 6000, size=420, measure=True)
        kill(sound, job, WINDOW_S)
        size = len(log_bytes(run_in(live)))
        checkpoint = unsealed((run_in(live) / "checkpoint.json").read_bytes())
        assert checkpoint
        resumed = kill(writers, job, 0.0).told("opened")[0]
    bound = 2 * (size - checkpoint["synced_bytes"]) + READ_AHEAD_BYTES
    print(f"resuming read {resumed['read_bytes']} of {size} bytes")
    assert bound < size
    assert (resumed["read_bytes"] < bound) == (not bug)
