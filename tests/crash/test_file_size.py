"""The file system takes only part of a write: at every byte of three records, by RLIMIT_FSIZE, without root."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.oracle import Violated
from tests.crash.support import Writers, fresh, judge, run_in
from tests.crash.writer import Job

BEFORE, TOTAL = 12, 15  # so that the log is longer than the checkpoint, which the limit would strike first
SPARE_BYTES = 10  # a timestamp has a digit more or less


def sweep(folder: Path, step_bytes: int, bug: str = "") -> Counter[str]:
    """How the writers ended whose log could grow by 0, `step_bytes`, ... bytes. Raises Violated."""
    outcomes: Counter[str] = Counter()
    with Writers(bug) as writers:
        start_bytes, end_bytes = lengths(writers, folder)
        for limit in range(start_bytes, end_bytes + SPARE_BYTES, step_bytes):
            live = fresh(folder / "live", folder / "base")
            limited = writers.run(Job(str(live), TOTAL, size=1, size_limit_bytes=limit))
            crashed = fresh(folder / "crashed", live)
            resumed = writers.run(Job(str(live), TOTAL, size=1))
            try:
                judge([limited], run_in(crashed), resumed, run_in(live), TOTAL)
            except Violated as error:
                raise Violated(f"with room for {limit - start_bytes} bytes: {error}") from error
            outcomes[limited.outcome] += 1
    return outcomes


def lengths(writers: Writers, folder: Path) -> tuple[int, int]:
    """Leave a run to go on with in `base`; its log's length in bytes, and that after three more records."""
    first = writers.run(Job(str(fresh(folder / "base")), TOTAL, idxs=tuple(range(BEFORE)), size=40))
    assert first.outcome == "finished"
    shutil.copytree(folder / "base", folder / "whole")
    assert writers.run(Job(str(folder / "whole"), TOTAL, size=1)).outcome == "finished"
    start_bytes, end_bytes = ((run_in(folder / name) / "results.jsonl").stat().st_size for name in ("base", "whole"))
    assert start_bytes > (run_in(folder / "base") / "checkpoint.json").stat().st_size
    return start_bytes, end_bytes


def test_a_write_cut_short_at_any_byte_loses_nothing_that_was_acknowledged(fast_path: Path) -> None:
    outcomes = sweep(fast_path, 1)
    print(outcomes)
    assert outcomes.keys() == {"StorageFailed", "finished"}  # the latter with room for all of it
    assert outcomes["StorageFailed"] > 400
    assert outcomes["finished"] < 2 * SPARE_BYTES


@pytest.mark.parametrize("bug", ["ignores_short_writes", "leaves_the_torn_tail", "ends_the_torn_tail_with_a_newline"])
def test_the_sweep_catches_a_store_that(bug: str, fast_path: Path) -> None:
    with pytest.raises(Violated) as caught:
        sweep(fast_path, 20, bug)
    print(caught.value)
