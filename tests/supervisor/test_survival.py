"""Supervisors that are killed, doubled, or do harm themselves; and supervision as a function."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from supervisor import FailureKind, Patience, Policy, run_with_retry
from tests.supervisor.bench import Bench, wait_until


def running_pid(path: Path) -> int:
    """The PID that a child has written."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_after_kill_9_of_the_supervisor_the_same_command_ends_the_leftover_and_goes_on(bench: Bench) -> None:
    code = """
import os, pathlib, time
first = not os.path.exists("first")
pathlib.Path("first" if first else "second").write_text(f"{os.getpid()}\\n")
if first:
    time.sleep(300)
"""
    command = [sys.executable, "-c", code]
    killed = bench.start(*command)
    child = running_pid(bench.folder / "first")
    killed.process.kill()
    killed.process.wait()
    assert is_running(child)
    result = bench.run(*command)
    assert result.code == 0
    assert not is_running(child)
    assert (
        "ended 1 process(es) that a killed supervisor had left running\n" in result.stderr.splitlines(keepends=True)[0]
    )
    assert (bench.folder / "second").exists()
    assert [event["attempt"] for event in bench.events("attempt_starting")] == [1, 2]


def test_a_second_supervisor_of_the_same_name_is_turned_away(bench: Bench) -> None:
    pid = bench.folder / "pid"
    first = bench.start("sh", "-c", f"echo $$ > {pid}; exec sleep 300", options=["--name", "one"])
    child = running_pid(pid)
    second = bench.run("true", options=["--name", "one"])
    assert second.code == 73
    assert f"process {first.process.pid} supervises 'one'" in second.stderr
    assert is_running(child)
    assert bench.run("true", options=["--name", "another"]).code == 0
    first.process.terminate()
    assert first.wait().code == 75


def test_what_chaos_breaks_is_brought_back_until_its_limit(bench: Bench) -> None:
    code = """
import os, time
from voice import notify
notify("READY=1")
time.sleep(0 if os.environ["SUPERVISE_ATTEMPT"] == "5" else 300)
"""
    options = ["--chaos", "segv,kill", "--chaos-every", "0.05", "--chaos-limit", "4", "--chaos-seed", "3"]
    result = bench.python(code, *options)
    assert result.code == 0
    harms = [str(event["harm"]) for event in bench.events("chaos")]
    assert [sorted(harms[:2]), sorted(harms[2:])] == [["kill", "segv"]] * 2
    wanted = {"kill": 9, "segv": 11}
    ended = bench.events("attempt_ended")
    assert [event["signal"] for event in ended] == [wanted[harm] for harm in harms] + [None]
    assert "injected: 2 kill, 2 segv" in result.stderr.splitlines()[-1]


def test_a_child_that_announces_itself_is_not_harmed_before_it_is_ready(bench: Bench) -> None:
    code = """
import time
from voice import notify
notify("STATUS=loading")
time.sleep(0.8)
print("loaded", flush=True)
notify("READY=1")
time.sleep(300)
"""
    options = ["--chaos", "kill", "--chaos-every", "0.1", "--max-retries", "0"]
    result = bench.python(code, *options)
    assert result.code == 70
    assert result.stdout == b"loaded\n"
    assert len(bench.events("chaos")) == 1


def call(bench: Bench, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that uses run_with_retry()."""
    return subprocess.run(
        [sys.executable, "-c", f"from supervisor import *\n{code}"],
        cwd=bench.folder,
        env=bench.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_function_returns_the_exit_codes(bench: Bench) -> None:
    code = """
import json, sys
abort = [sys.executable, "-c", "import os; os.abort()"]
commands = [["true"], ["false"], ["nosuchcommand"], abort, ["sh", "-c", "exit 2"], ["sh", "-c", "kill -INT $$"]]
codes = [run_with_retry(command, 1, 0.01) for command in commands]
print(json.dumps(codes))
"""
    result = call(bench, code)
    assert json.loads(result.stdout.splitlines()[-1]) == [0, 70, 127, 70, 78, 130]


@pytest.mark.parametrize("arguments", ["[]", "['true'], -1", "['true'], 1, -0.5"])
def test_the_function_refuses_what_makes_no_sense(bench: Bench, arguments: str) -> None:
    result = call(bench, f"run_with_retry({arguments})")
    assert "ValueError: " in result.stderr
    assert not (bench.folder / "logs").exists()


def test_the_function_leaves_the_callers_own_children_and_signals_alone(bench: Bench) -> None:
    leave_behind = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(300)\ntime.sleep(0.1)"
    code = f"""
import signal, subprocess, sys
handler = lambda number, frame: None
signal.signal(signal.SIGTERM, handler)
mine = subprocess.Popen(["sleep", "300"])
quick = subprocess.Popen(["sh", "-c", "exit 7"])
code = run_with_retry([sys.executable, "-c", {leave_behind!r}], 1, 0.01)
import psutil
children = [child.pid for child in psutil.Process().children() if child.pid != quick.pid]
assert (code, mine.poll(), quick.wait(), children) == (0, None, 7, [mine.pid]), (code, children)
assert signal.getsignal(signal.SIGTERM) is handler
mine.kill()
"""
    result = call(bench, code)
    assert result.returncode == 0, result.stderr
    assert "ended 1 process(es) that the child left behind" in result.stderr


def test_the_function_ends_although_somebody_got_away_with_the_pipe(bench: Bench) -> None:
    note = bench.folder / "pid"
    escape = f"setsid env -i PATH=$PATH sh -c 'echo $$ > {note}; exec yes' & while ! test -s {note}; do :; done"
    started_s = time.monotonic()
    result = call(bench, f"import os\nraise SystemExit(run_with_retry(['sh', '-c', {escape!r}], 1, 0.01))")
    with suppress(ProcessLookupError):  # it dies of its broken pipe now
        os.kill(running_pid(note), signal.SIGKILL)
    assert result.returncode == 0
    assert time.monotonic() - started_s < 10


def test_the_function_works_outside_the_main_thread(bench: Bench) -> None:
    code = """
import threading
codes = []
thread = threading.Thread(target=lambda: codes.append(run_with_retry(["false"], 1, 0.01)))
thread.start(); thread.join()
assert codes == [70], codes
"""
    assert call(bench, code).returncode == 0


def test_what_a_killed_supervisor_left_in_the_temporary_folder_is_removed_by_the_next(bench: Bench) -> None:
    started = bench.start(
        sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)", options=["--name", "x"]
    )
    wait_until(started.stdout.read_bytes)
    assert len(list(bench.folder.glob("supervise-*"))) == 1
    started.process.kill()
    started.process.wait()
    assert bench.run("true", options=["--name", "x"]).code == 0
    assert list(bench.folder.glob("supervise-*")) == []


ORPHANS = """
import os, subprocess, sys, time
for _ in range(20):
    subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"])
time.sleep(1)
states = subprocess.run(["ps", "-eo", "pid,ppid,stat"], capture_output=True, text=True).stdout
print("zombies:", sum(line.split()[2].startswith("Z") for line in states.splitlines()[1:]))
print("parent:", os.getppid())
"""


def test_as_process_1_of_a_container_it_reaps_what_is_orphaned(bench: Bench) -> None:
    allowed = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip(f"no process namespace can be made here: {allowed.stderr.decode().strip()}")
    words = ["unshare", "--pid", "--fork", "--mount-proc", *bench.words([sys.executable, "-c", ORPHANS])]
    result = bench.launch(words).wait()
    assert (result.code, result.stdout) == (0, b"zombies: 0\nparent: 1\n")


def test_the_function_takes_a_policy_and_limits(tmp_path: Path) -> None:
    policy = Policy(kind_retries={FailureKind.TIMEOUT: 0})
    begun_s = time.monotonic()
    code = run_with_retry(
        ["sleep", "60"], log_dir=tmp_path, name="slow", policy=policy, patience=Patience(timeout_s=0.3), deadline=50
    )
    assert code == 70
    assert time.monotonic() - begun_s < 20
