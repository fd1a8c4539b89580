"""One writer at a time, whoever dies."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest

from checkpoints import CheckpointManager, Record, RunLocked
from checkpoints.lock import RunLock, describe_holder, is_held, read_holder
from tests.checkpoints.support import files_of, make_run, start

HOLD = """
import sys
from checkpoints import CheckpointManager, Record
with CheckpointManager(sys.argv[1], "r").open(total_samples=9) as run:
    run.record(Record(0))
    print("open", flush=True)
    sys.stdin.readline()
"""

HOLD_AND_FORK = """
import os, sys, time
from checkpoints import CheckpointManager, Record, RunNotOpen
run = CheckpointManager(sys.argv[1], "r").open(total_samples=9)
run.record(Record(0))
if os.fork() == 0:
    outcomes = []
    for call in (lambda: run.record(Record(1)), run.commit):
        try:
            call()
            outcomes.append("done")
        except RunNotOpen:
            outcomes.append("refused")
    run.close()
    print("child", os.getpid(), *outcomes, flush=True)
    time.sleep(60)
    os._exit(0)
time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        manager = CheckpointManager(tmp_path, "r")
        before = files_of(manager)
        with pytest.raises(RunLocked, match=rf"written by process {holder.pid} on {re.escape(socket.gethostname())}\."):
            manager.open()
        assert files_of(manager) == before
        assert is_held(manager.layout.lock)
        holder.communicate("\n")
    assert holder.returncode == 0
    assert not is_held(manager.layout.lock)
    with manager.open() as run:
        assert run.attempt == 2


def test_the_death_of_the_holder_frees_the_run(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        holder.kill()
    assert holder.returncode == -signal.SIGKILL
    manager = CheckpointManager(tmp_path, "r")
    assert not is_held(manager.layout.lock)
    with manager.open() as run:
        assert run.is_completed(0)
        assert run.attempt == 2


def test_a_forked_child_neither_writes_nor_keeps_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    """DataLoader workers outlive the process that forked them, and inherit its descriptors."""
    with start(HOLD_AND_FORK, tmp_path) as holder:
        assert holder.stdout is not None
        name, child_pid, *outcomes = holder.stdout.readline().split()
        child = psutil.Process(int(child_pid))
        try:
            assert (name, outcomes) == ("child", ["refused", "refused"])
            with pytest.raises(RunLocked, match=f"process {holder.pid} "):  # what the child did freed nothing
                CheckpointManager(tmp_path, "r").open()
            holder.kill()
            holder.wait()
            assert child.is_running()
            with CheckpointManager(tmp_path, "r").open() as run:
                assert child.is_running()
                assert [(each.idx, each.attempt) for each in run.records()] == [(0, 1)]
        finally:
            child.kill()


def test_a_child_that_never_touched_the_run_does_not_disturb_its_parent(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(0))
        child = os.fork()
        if child == 0:  # pragma: no cover
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(RunLocked):
            CheckpointManager(tmp_path, "r").open()
        run.record(Record(1))
    assert [record.idx for record in run.records()] == [0, 1]


def test_two_managers_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        other = CheckpointManager(tmp_path, "r")
        with pytest.raises(RunLocked, match=f"process {os.getpid()} "):
            other.open()
        other.close()
        run.record(Record(0))
        with pytest.raises(RunLocked):
            CheckpointManager(tmp_path, "r").open()
    with other.open():
        assert other.is_completed(0)


def test_runs_side_by_side_do_not_exclude_each_other(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "a").open() as one, CheckpointManager(tmp_path, "b").open() as two:
        one.record(Record(0))
        two.record(Record(0), Record(1))
    assert [one.get_statistics().samples_processed, two.get_statistics().samples_processed] == [1, 2]


def test_the_lock_file_is_one_and_the_same_for_the_whole_life_of_the_run(tmp_path: Path) -> None:
    """A lock file that is replaced or removed gives two holders."""
    manager = make_run(tmp_path, 0)
    inode = manager.layout.lock.stat().st_ino
    make_run(tmp_path, 1)
    with manager.open():
        manager.commit()
        assert manager.layout.lock.stat().st_ino == inode
    assert manager.layout.lock.stat().st_ino == inode


def test_releasing_twice_or_without_a_lock_is_harmless(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run.lock")
    lock.release()
    lock.acquire()
    assert lock.held
    lock.release()
    lock.release()
    assert not lock.held
    assert (tmp_path / "run.lock").read_bytes() == b""


@pytest.mark.parametrize("content", [b"", b"torn{", b"[1]", b"\xff"])
def test_a_lock_file_that_says_nothing_useful_names_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(content)
    assert (read_holder(path), describe_holder(path), is_held(path)) == (None, "another process", False)


def test_a_process_that_has_taken_over_the_pid_of_a_dead_holder_is_not_the_holder(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run.lock")
    lock.acquire()
    content = (tmp_path / "run.lock").read_bytes()
    assert is_held(tmp_path / "run.lock")
    started = read_holder(tmp_path / "run.lock")
    assert started is not None
    lock.release()
    recycled = content.replace(str(started["started"]).encode(), b"1")
    (tmp_path / "copy.lock").write_bytes(recycled)
    assert not is_held(tmp_path / "copy.lock")
    (tmp_path / "copy.lock").write_bytes(content.replace(socket.gethostname().encode(), b"elsewhere"))
    assert not is_held(tmp_path / "copy.lock")
    (tmp_path / "copy.lock").write_bytes(content)
    assert is_held(tmp_path / "copy.lock")
