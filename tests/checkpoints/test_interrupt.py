"""Ctrl-C may strike at any line of the store's own code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import checkpoints
from checkpoints import CheckpointManager, Record, RunNotOpen
from tests.checkpoints.support import FakeTime, counted, make_run, recount

PACKAGE = str(Path(checkpoints.__file__).parent)


def interrupted(call: Callable[[], Any], at_line: int) -> bool:
    """Call, raising KeyboardInterrupt before the nth line of the package that runs. False when it ended before."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            lines += 1
            if lines == at_line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def each_line() -> Iterator[int]:
    yield from range(1, 2000)


def check(directory: Path) -> None:
    """The run can be resumed and finished, and checkpoint and log agree, with and without the checkpoint."""
    with CheckpointManager(directory, "r").open() as run:
        run.record(*[Record(idx, is_correct=True) for idx in range(4) if not run.is_completed(idx)])
    assert counted(run) == recount(run)
    assert run.get_statistics().samples_processed == 4
    run.layout.checkpoint.unlink()
    assert counted(run) == recount(run)


def test_an_interrupt_anywhere_in_record_leaves_a_run_that_can_be_finished(tmp_path: Path) -> None:
    for at_line in each_line():
        directory = tmp_path / str(at_line)
        with CheckpointManager(directory, "r").open(total_samples=4) as run:
            run.record(Record(0))
            struck = interrupted(lambda: run.record(Record(1), Record(2)), at_line)
        check(directory)
        if not struck:
            break
    assert 20 < at_line < 1999


def test_an_interrupt_anywhere_in_a_record_that_commits_leaves_a_run_that_can_be_finished(tmp_path: Path) -> None:
    time = FakeTime()
    for at_line in each_line():
        directory = tmp_path / str(at_line)
        with CheckpointManager(directory, "r", clock=time.clock).open(total_samples=4) as run:
            time.advance(2)
            struck = interrupted(lambda: run.record(Record(1)), at_line)
        check(directory)
        if not struck:
            break
    assert 40 < at_line < 1999


def test_whoever_catches_the_interrupt_and_goes_on_cannot_record_a_sample_twice(tmp_path: Path) -> None:
    refused = 0
    for at_line in each_line():
        directory = tmp_path / str(at_line)
        with CheckpointManager(directory, "r").open(total_samples=4) as run:
            struck = interrupted(lambda: run.record(Record(1)), at_line)
            try:
                if not run.is_completed(1):
                    run.record(Record(1))
            except RunNotOpen:
                refused += 1
        check(directory)
        if not struck:
            break
    assert 0 < refused < at_line


def test_an_interrupt_anywhere_in_open_leaves_the_run_as_it_was_and_free(tmp_path: Path) -> None:
    make_run(tmp_path / "as-it-was", 0, 1, total=4)
    with (tmp_path / "as-it-was" / "r" / "results.jsonl").open("ab") as log:
        log.write(Record(2).encode()[:30])
    for at_line in each_line():
        directory = tmp_path / str(at_line)
        shutil.copytree(tmp_path / "as-it-was", directory)
        manager = CheckpointManager(directory, "r")
        struck = interrupted(manager.open, at_line)
        manager.close()
        del manager
        assert [record.idx for record in CheckpointManager(directory, "r").records()] == [0, 1]
        check(directory)
        if not struck:
            break
    assert 100 < at_line < 1999
