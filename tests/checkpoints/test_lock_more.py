"""The lock where it is hard: forks, dead holders, places that cannot be written to, file systems that cannot lock."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, Record, RunLocked
from checkpoints.lock import is_held
from tests.checkpoints.support import counted, environment, make_run, python, recount, start

FORK_WHILE_THE_MUTEX_IS_TAKEN = """
import json, os, signal, sys, threading
from checkpoints import CheckpointManager, CheckpointError, Record

run = CheckpointManager(sys.argv[1], "r").open(total_samples=9)
run.record(Record(0))
taken, go_on = threading.Event(), threading.Event()
append = run._writer.log.append

def slow_append(lines):  # inside record(), where the writer's mutex is held
    taken.set()
    go_on.wait()
    append(lines)

run._writer.log.append = slow_append
thread = threading.Thread(target=lambda: run.record(Record(1)))
thread.start()
taken.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    outcomes = {}
    for name in sys.argv[2:]:
        calls = {
            "record": lambda: run.record(Record(2)),
            "begin": lambda: run.begin([3]),
            "commit": run.commit,
            "is_completed": lambda: run.is_completed(0),
            "look": lambda: run.get_statistics().samples_processed,
            "close": run.close,
        }
        try:
            outcomes[name] = calls[name]()
        except CheckpointError as error:
            outcomes[name] = type(error).__name__
    print(json.dumps(outcomes), flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
run.record(Record(4))
run.close()
print(os.waitstatus_to_exitcode(status), flush=True)
"""

FORK_OFTEN = """
import os, sys
from checkpoints import CheckpointManager, Record, RunNotOpen

run = CheckpointManager(sys.argv[1], "r").open(total_samples=60)
refused = 0
for idx in range(60):
    run.record(Record(idx))  # wakes the background thread
    child = os.fork()
    if child == 0:
        try:
            run.record(Record(idx + 1))
        except RunNotOpen:
            run.close()
            os._exit(7)
        os._exit(1)
    refused += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
run.close()
print(refused)
"""

CANNOT_LOCK = """
import errno, sys
import portalocker.portalocker as inner
from checkpoints import CheckpointManager, Record, StorageFailed

number = getattr(errno, sys.argv[2])

def refuse(descriptor, operation):
    raise OSError(number, "injected")

inner.LOCKER = refuse
try:
    CheckpointManager(sys.argv[1], "r").open()
except StorageFailed as error:
    print(error)
"""

IN_A_PLACE_THAT_CANNOT_BE_WRITTEN_TO = """
import json, sys
from checkpoints import CheckpointManager, StorageFailed

told = {}
for name in ("r", "new"):
    manager = CheckpointManager(sys.argv[1], name)
    told[name] = [checkpoint.samples_processed if (checkpoint := manager.load_checkpoint()) else None]
    told[name] += [record.idx for record in manager.records()]
    try:
        manager.open(total_samples=9)
    except StorageFailed as error:
        told[name].append(str(error))
print(json.dumps(told))
"""


@pytest.mark.parametrize("names", [["record", "begin", "commit", "is_completed", "close"], ["look", "close"]])
def test_a_child_forked_while_a_thread_is_recording_neither_hangs_nor_writes(tmp_path: Path, names: list[str]) -> None:
    """The mutex is copied in its locked state, and the thread that would unlock it is not."""
    ended = python(tmp_path, *names, code=FORK_WHILE_THE_MUTEX_IS_TAKEN)
    assert ended.returncode == 0, ended.stderr
    told, child_exit = ended.stdout.splitlines()[-2:] if len(ended.stdout.splitlines()) > 1 else ("{}", ended.stdout)
    assert int(child_exit) == 0, f"the child was ended by signal {-int(child_exit)}"
    outcomes = json.loads(told)
    assert outcomes.pop("close") is None
    assert outcomes.pop("look", 1) in {1, "RunNotOpen"}  # what is on the disk, or a plain refusal
    assert set(outcomes.values()) <= {"RunNotOpen"}
    manager = CheckpointManager(tmp_path, "r")
    assert [record.idx for record in manager.records()] == [0, 1, 4]
    assert counted(manager) == recount(manager)


def test_forking_after_each_record_disturbs_neither_the_parent_nor_its_thread(tmp_path: Path) -> None:
    ended = python(tmp_path, code=FORK_OFTEN)
    assert (ended.returncode, ended.stdout) == (0, "60\n"), ended.stderr
    manager = CheckpointManager(tmp_path, "r")
    assert [(record.idx, record.attempt) for record in manager.records()] == [(idx, 1) for idx in range(60)]
    assert manager.get_statistics().finished


def test_a_child_may_open_a_run_of_its_own(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(0))
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                with CheckpointManager(tmp_path, "other").open() as other:
                    other.record(Record(5))
                CheckpointManager(tmp_path, "r").open()
            except RunLocked:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        run.record(Record(1))
    assert [record.idx for record in CheckpointManager(tmp_path, "other").records()] == [5]
    assert [record.idx for record in run.records()] == [0, 1]


def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_a_lock_file_that_names_a_dead_process_keeps_nobody_out(tmp_path: Path, host: str) -> None:
    manager = make_run(tmp_path, 0)
    holder = {"pid": dead_pid(), "host": socket.gethostname() if host == "here" else host, "started": 12345}
    manager.layout.lock.write_text(json.dumps(holder))
    assert not is_held(manager.layout.lock)
    with manager.open() as run:
        run.record(Record(1))
        assert json.loads(manager.layout.lock.read_bytes())["pid"] == os.getpid()
    assert manager.layout.lock.read_bytes() == b""


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EIO"])
def test_a_file_system_that_cannot_lock_is_named_at_once(tmp_path: Path, name: str) -> None:
    ended = python(tmp_path, name, code=CANNOT_LOCK)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"could not lock {tmp_path}/r/run.lock: ")
    assert ended.stdout.count("\n") == 1
    assert ended.stdout.count(str(tmp_path)) == 1
    assert "injected" in ended.stdout or "cannot lock" in ended.stdout
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["run.lock"]
    make_run(tmp_path, 0)  # and where it can, the run starts


def test_a_run_on_a_read_only_file_system_can_be_looked_at_and_not_opened(tmp_path: Path) -> None:
    """A mount of the test's own, in a namespace that vanishes with it: root may write where permissions forbid it."""
    make_run(tmp_path, 0, 2, total=9)
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(tmp_path)]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', None) or error}")
    ended = subprocess.run(
        [*namespace, sys.executable, "-c", IN_A_PLACE_THAT_CANNOT_BE_WRITTEN_TO, str(tmp_path)],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["r"][:-1] == [2, 0, 2]
    assert told["r"][-1].startswith(f"could not lock {tmp_path}/r/run.lock: Read-only file system. ")
    assert told["new"][0] is None
    assert told["new"][1].startswith(f"could not create {tmp_path}/new: Read-only file system. ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_in_a_folder_without_permission_can_be_looked_at_and_not_opened(tmp_path: Path) -> None:
    manager = make_run(tmp_path, 0, 2, total=9)
    manager.layout.lock.chmod(0o444)
    manager.layout.root.chmod(0o555)
    try:
        ended = python(tmp_path, code=IN_A_PLACE_THAT_CANNOT_BE_WRITTEN_TO)
    finally:
        manager.layout.root.chmod(0o755)
    told = json.loads(ended.stdout)
    assert told["r"][:-1] == [2, 0, 2]
    assert "Permission denied" in told["r"][-1]


HOLD = """
import sys
from checkpoints import CheckpointManager, Record
run = CheckpointManager(sys.argv[1], "r").open(total_samples=9)
run.record(Record(1))
print("open", flush=True)
sys.stdin.readline()
"""


def test_the_lock_file_is_neither_replaced_nor_removed_by_opening_closing_refusing_or_dying(tmp_path: Path) -> None:
    """A second file of that name would give two holders."""
    manager = make_run(tmp_path, 0, total=9)
    kept_open = os.open(manager.layout.lock, os.O_RDONLY)
    try:
        inode = os.fstat(kept_open).st_ino
        with start(HOLD, tmp_path) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "open\n"
            with pytest.raises(RunLocked):
                CheckpointManager(tmp_path, "r").open()
            assert manager.layout.lock.stat().st_ino == inode
            holder.kill()
        assert holder.returncode == -signal.SIGKILL
        assert manager.layout.lock.stat().st_ino == inode
        with manager.open() as run:
            run.record(*[Record(idx) for idx in range(2, 9)])
        with manager.open():  # finished: only looked at
            assert manager.layout.lock.stat().st_ino == inode
        assert manager.layout.lock.stat().st_ino == inode
        assert os.fstat(kept_open).st_nlink == 1
    finally:
        os.close(kept_open)


def test_starting_over_gives_the_new_run_a_lock_of_its_own_and_leaves_the_old_one_free(tmp_path: Path) -> None:
    old = make_run(tmp_path, 0, 1)
    with CheckpointManager(tmp_path, "r").open(restart=True) as run:
        with pytest.raises(RunLocked, match=f"process {os.getpid()} "):
            CheckpointManager(tmp_path, "r").open()
        (aside,) = [path for path in tmp_path.iterdir() if path.name.startswith("r.replaced-")]
        with CheckpointManager.resume_from(aside).open() as replaced:
            assert [replaced.is_completed(0), replaced.attempt] == [True, 2]
        run.record(Record(0))
    assert [record.idx for record in old.records()] == [0]
