"""How children end, each time with a real supervisor and a real child."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.supervisor.bench import Bench, wait_until

FORKED = "import os, sys, time\nif os.fork() == 0:\n    {child}\n    time.sleep(300)\n{parent}"


def kinds(bench: Bench) -> list[str]:
    return [str(event.get("kind")) for event in bench.events("attempt_ended")]


def test_false_is_tried_four_times(bench: Bench) -> None:
    result = bench.run("false")
    assert result.code == 70
    assert kinds(bench) == ["unknown"] * 4
    assert "failures: 4 unknown" in result.stderr.splitlines()[-1]


def test_true_is_complete_and_its_output_is_passed_on(bench: Bench) -> None:
    result = bench.run("sh", "-c", "echo out; echo err >&2")
    assert (result.code, result.stdout) == (0, b"out\n")
    assert "\nerr\n" in result.stderr
    assert sorted(bench.raw_logs().split()) == [b"err", b"out"]


def test_a_command_that_is_not_there_ends_with_127(bench: Bench) -> None:
    result = bench.run("nosuchcommand")
    assert result.code == 127
    assert result.stderr.splitlines()[-1] == "supervise: cannot start 'nosuchcommand': there is no such command"


def test_a_file_that_is_not_executable_ends_with_126(bench: Bench) -> None:
    script = bench.folder / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    result = bench.run(str(script))
    assert result.code == 126
    assert "Permission denied" in result.stderr.splitlines()[-1]


def test_an_abort_is_tried_four_times(bench: Bench) -> None:
    assert bench.python("import os; os.abort()").code == 70
    assert kinds(bench) == ["abort"] * 4


def test_a_segfault_is_tried_as_often_as_asked_and_leaves_its_stack_in_the_log(bench: Bench) -> None:
    assert bench.python("import ctypes; ctypes.string_at(0)", "--max-retries", "1").code == 70
    assert kinds(bench) == ["segfault"] * 2
    assert bench.raw_logs().count(b"Fatal Python error: Segmentation fault") == 2
    assert b'File "<string>", line 1 in <module>' in bench.raw_logs()


def test_a_segfault_within_a_shell_is_still_a_segfault(bench: Bench) -> None:
    code = "import ctypes; ctypes.string_at(0)"
    result = bench.run("sh", "-c", f"{sys.executable} -c '{code}'; exit $?", options=["--max-retries", "0"])
    assert result.code == 70
    assert kinds(bench) == ["segfault"]


def test_wrong_usage_is_not_retried(bench: Bench) -> None:
    assert bench.python("import sys; sys.exit(2)").code == 78
    assert kinds(bench) == ["usage"]


def test_a_missing_module_is_not_retried_and_gets_a_hint(bench: Bench) -> None:
    result = bench.python("import nosuchmodule")
    assert result.code == 78
    assert kinds(bench) == ["usage"]
    assert "hint: a module is missing in the child's Python" in result.stderr


def test_a_child_that_advances_renews_its_budget(bench: Bench) -> None:
    code = """
import os, pathlib
from voice import notify
count = pathlib.Path("count")
done = int(count.read_text()) if count.exists() else 0
notify(f"READY=1\\nX_DONE={done}\\nX_TOTAL=6")
if done == 6:
    raise SystemExit
count.write_text(str(done + 1))
notify(f"X_DONE={done + 1}")
os.abort()
"""
    result = bench.python(code, "--max-retries", "1")
    assert result.code == 0
    assert kinds(bench) == ["abort"] * 6 + ["None"]
    assert [event["done"] for event in bench.events("attempt_ended")] == [1, 2, 3, 4, 5, 6, 6]
    assert "6/6 samples" in result.stderr.splitlines()[-1]


def test_a_child_that_only_says_that_it_lives_does_not_renew_its_budget(bench: Bench) -> None:
    code = "import os; from voice import notify; notify('READY=1\\nX_DONE=5\\nSTATUS=busy'); os.abort()"
    assert bench.python(code, "--max-retries", "1").code == 70
    assert kinds(bench) == ["abort"] * 2


def test_a_child_that_never_stops_talking_is_still_harmed_and_stopped(bench: Bench) -> None:
    code = """
import os, socket
for _ in range(3):
    os.fork()
voice = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    voice.sendto(b"READY=0", os.environ["NOTIFY_SOCKET"])
"""
    started = bench.start(sys.executable, "-c", code, options=["--grace", "1"])
    wait_until(lambda: bench.events("attempt_started"))
    time.sleep(0.3)
    started.process.terminate()
    assert started.wait(10).code == 75


@pytest.mark.parametrize(
    "child",
    [
        "pass",
        "os.setsid()",
        "os.setsid(); [os._exit(0) for _ in '1' if os.fork()]",
        "import signal; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "os.setsid(); os.execvpe('sleep', ['sleep', '300'], {})",
    ],
    ids=["grandchild", "own session", "double fork", "ignores SIGTERM", "forgot its environment"],
)
def test_nothing_that_the_child_leaves_behind_survives(bench: Bench, child: str) -> None:
    marker = bench.folder / "pid"
    note = f"open('new', 'w').write(str(os.getpid())); os.rename('new', {str(marker)!r})"
    body = f"{child}; {note}" if "execvpe" not in child else f"{note}; {child}"
    wait = f"while not os.path.exists({str(marker)!r}): time.sleep(0.01)\ntime.sleep(0.1)"
    result = bench.python(FORKED.format(child=body, parent=wait))
    assert result.code == 0
    assert not psutil.pid_exists(int(marker.read_text()))
    # One in the child's own group may be dead before it is counted.
    assert "that the child left behind" in result.stderr or "setsid" not in child


def test_a_line_of_100_mb_that_is_no_text_passes_untouched_and_takes_no_memory(bench: Bench) -> None:
    code = r"""
import sys
block = bytes(range(128, 256)) * 8192
for _ in range(100):
    sys.stdout.buffer.write(block)
sys.stdout.buffer.flush()
sys.stdin.read()
"""
    out = bench.folder / "out"
    with out.open("wb") as file:
        words = bench.words([sys.executable, "-c", code])
        supervisor = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=file, cwd=bench.folder, env=bench.environment, stderr=subprocess.PIPE
        )
    wait_until(lambda: out.stat().st_size == 100 << 20, 60)
    status = Path(f"/proc/{supervisor.pid}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0
    expected = bytes(range(128, 256)) * 8192
    for path in (out, next(bench.folder.glob("logs/*/attempt-0001/output.log"))):
        with path.open("rb") as file:
            assert all(file.read(1 << 20) == expected for _ in range(100))
            assert file.read() == b""
        path.unlink()
    assert peak_kib < 60 * 1024


def test_a_reader_that_goes_away_stops_neither_the_child_nor_the_log(bench: Bench) -> None:
    words = bench.words(["sh", "-c", "seq 50000; echo finished >&2"])
    started = bench.launch(["bash", "-c", '"$@" | head -c 10; exit ${PIPESTATUS[0]}', "bash", *words])
    result = started.wait()
    assert (result.code, result.stdout) == (0, b"1\n2\n3\n4\n5\n")
    assert b"\n50000\n" in bench.raw_logs()
    assert "finished" in result.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_were_never_open_do_no_harm(bench: Bench, closed: str) -> None:
    words = bench.words(["sh", "-c", "echo out; echo err >&2"], ["--name", "one"])
    result = bench.launch(["sh", "-c", f'"$@" {closed}', "sh", *words]).wait()
    assert result.code == 0
    assert sorted(bench.raw_logs().split()) == [b"err", b"out"]
    assert result.stdout == (b"" if ">&-" in closed.split() else b"out\n")
    assert (bench.folder / "logs/one/supervise.lock").read_text().strip().isdigit()


def test_a_log_folder_that_cannot_be_made_ends_with_74(bench: Bench) -> None:
    (bench.folder / "logs").write_text("a file")
    result = bench.run("true")
    assert result.code == 74
    assert "choose another --log-dir" in result.stderr
