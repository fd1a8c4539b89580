"""Every kind of failure that can be made here, made by a real process and judged by a real supervisor."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.supervisor.bench import Bench

MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")

SEGFAULT = "import ctypes; ctypes.string_at(0)"
ABORT = "import os; os.abort()"
BUS = """
import mmap, os
with open("mapped", "w+b") as file:
    file.truncate(8192)
    memory = mmap.mmap(file.fileno(), 8192)
    file.truncate(0)
    memory[5000]
"""
ILLEGAL = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("0f0b"))  # ud2
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
FPE = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("31c031c9f7f1"))  # xor eax, eax; xor ecx, ecx; div ecx
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
REFUSED = "import socket; socket.create_connection(('127.0.0.1', {port}))"
RESOLVE = "import socket; socket.getaddrinfo('nosuch.invalid', 443)"
FULL = "open('/dev/full', 'wb', 0).write(b'x')"
CUDA_OOM = (
    "raise RuntimeError('CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 23.57 GiB of "
    "which 1.10 GiB is free.')"
)
CUDA_FAULT = "raise RuntimeError('CUDA error: an illegal memory access was encountered')"
NCCL = """
import os, sys
print("terminate called after throwing an instance of 'c10::DistBackendError'", file=sys.stderr)
print("  what():  [PG ID 0 PG GUID 0(default_pg) Rank 1] Process group watchdog thread terminated with exception: "
      "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=ALLREDUCE) ran for 600017 "
      "milliseconds before timing out.", file=sys.stderr, flush=True)
os.abort()
"""

needs_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="these are instructions of x86-64")


def kinds(bench: Bench) -> list[str]:
    return [str(event.get("kind")) for event in bench.events("attempt_ended")]


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (SEGFAULT, "segfault", 70),
        (ABORT, "abort", 70),
        (BUS, "bus", 70),
        pytest.param(ILLEGAL, "illegal-instruction", 70, marks=needs_x86),
        pytest.param(FPE, "fpe", 70, marks=needs_x86),
        (KILLED, "sigkill", 70),
        ("import sys; sys.exit(2)", "usage", 78),
        ("import nosuchmodule", "usage", 78),
        ("import sys; sys.exit(75)", "preemption", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "preemption", 0),
        (FULL, "storage", 74),
        (RESOLVE, "transient", 70),
        (CUDA_OOM, "cuda-oom", 70),
        (CUDA_FAULT, "cuda-fault", 70),
        (NCCL, "nccl", 70),
        ("raise ValueError('nobody knows this')", "unknown", 70),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_real_death_is_known_for_what_it_is(bench: Bench, code: str, kind: str, exit_code: int) -> None:
    # The third attempt of a pre-emption ends well; the others are allowed one restart.
    ending = "\n".join(["import os", "if os.environ['SUPERVISE_ATTEMPT'] == '3': os._exit(0)", code])
    result = bench.python(ending, "--max-retries", "1")
    assert result.code == exit_code
    expected = {"usage": 1, "storage": 1}.get(kind, 2)
    assert [each for each in kinds(bench) if each != "None"] == [kind] * expected
    assert kind in result.stderr


def test_a_refused_connection_is_transient(bench: Bench) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port meanwhile
        port = closed.getsockname()[1]
        assert bench.python(REFUSED.format(port=port), "--max-retries", "0").code == 70
    assert kinds(bench) == ["transient"]


def test_a_shell_that_reports_a_segfault_is_believed(bench: Bench) -> None:
    command = ["sh", "-c", f'{sys.executable} -c "{SEGFAULT}"; exit $?']
    assert bench.run(*command, options=["--max-retries", "0"]).code == 70
    assert kinds(bench) == ["segfault"]


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A cgroup of 64 MiB, without swap."""
    folder = MEMORY_CGROUPS / f"crashproof-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield folder
    deadline_s = time.monotonic() + 10
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


EATER = """
import pathlib, os, subprocess, sys, time
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
time.sleep(2.5)
eat = "blocks = [bytearray(1 << 20) for _ in range(500)]"
{end}
"""


@pytest.mark.parametrize(
    "end",
    ["exec(eat)", "sys.exit(1 if subprocess.run([sys.executable, '-c', eat]).returncode else 0)"],
    ids=["the child itself", "a helper of the child, which then exits with 1"],
)
def test_a_kernel_oom_kill_is_told_from_any_other_sigkill(bench: Bench, memory_cgroup: Path, end: str) -> None:
    code = EATER.format(end=end)
    bench.run(sys.executable, "-c", code, str(memory_cgroup), options=["--max-retries", "0"])
    (event,) = bench.events("attempt_ended")
    assert event["kind"] == "host-oom"
    assert any("oom_kill rose by 1" in fact for fact in event["chain"])


HANG = """
import ctypes, os, signal, sys, time
from voice import notify
notify("READY=1")
if os.environ["SUPERVISE_ATTEMPT"] == "2":
    sys.exit()
def stuck_here():
    {how}
stuck_here()
"""
IN_PYTHON = "time.sleep(600)"
IN_C_WITH_THE_LOCK = "ctypes.PyDLL(None).sleep(600)"
DEAF = "signal.signal(signal.SIGABRT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def hang(bench: Bench, hows: Mapping[str, str]) -> None:
    """Let children hang, all at once; each is found and ended, and its second attempt ends well."""
    started = {
        name: bench.start(sys.executable, "-c", HANG.format(how=how), options=["--name", name, "--stall-timeout", "1"])
        for name, how in hows.items()
    }
    assert {name: each.wait(60).code for name, each in started.items()} == dict.fromkeys(hows, 0)
    assert kinds(bench).count("hang") == len(hows)


def test_hangs_are_found_and_ended_and_leave_their_stacks(bench: Bench) -> None:
    hows = {"in-python": IN_PYTHON, "in-c": IN_C_WITH_THE_LOCK}
    hang(bench, hows)
    for name in hows:
        assert "in stuck_here" in (bench.folder / "logs" / name / "attempt-0001/faulthandler.txt").read_text()


@pytest.mark.slow
def test_a_hang_that_does_not_listen_is_killed(bench: Bench) -> None:
    hang(bench, {"deaf": DEAF})


def test_a_stopped_child_is_woken_not_killed(bench: Bench) -> None:
    code = "import os, signal, time\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('awake')"
    result = bench.python(code, "--stall-timeout", "1")
    assert (result.code, result.stdout) == (0, b"awake\n")
    assert len(bench.events("woken")) == len(bench.events("attempt_ended")) == 1


def test_an_attempt_that_takes_too_long_is_asked_to_end_and_tried_again(bench: Bench) -> None:
    code = "import os, time\nif os.environ['SUPERVISE_ATTEMPT'] == '1': time.sleep(600)"
    result = bench.python(code, "--timeout", "0.5s", "--grace", "5")
    assert result.code == 0
    assert kinds(bench) == ["timeout", "None"]


def test_a_child_that_answers_a_timeout_with_0_is_not_done(bench: Bench) -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(600)"
    assert bench.python(code, "--timeout", "0.5s", "--max-retries", "0").code == 70
    assert kinds(bench) == ["timeout"]


def test_the_deadline_ends_the_attempt_in_time_and_no_other_is_started(bench: Bench) -> None:
    started_s = time.monotonic()
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\ntime.sleep(600)"
    result = bench.python(code, "--deadline", "3s", "--grace", "2s")
    assert result.code == 75
    assert time.monotonic() - started_s < 3
    assert [event["reason"] for event in bench.events("attempt_ended")] == ["deadline"]


def test_no_attempt_is_started_that_the_deadline_would_cut_short(bench: Bench) -> None:
    result = bench.python("raise SystemExit(1)", "--deadline", "4s", "--grace", "1s", "--retry-delay", "1000")
    assert result.code == 75
    assert "left, and another attempt needs" in result.stderr
    assert len(bench.events("attempt_ended")) == 1


def test_silence_is_no_hang_for_a_child_that_said_how_long_it_will_take(bench: Bench) -> None:
    code = """
import time
from voice import notify
notify("READY=1")
notify("EXTEND_TIMEOUT_USEC=60000000")
time.sleep(3)
"""
    assert bench.python(code, "--stall-timeout", "1").code == 0
    assert len(bench.events("attempt_ended")) == 1


def test_a_child_is_allowed_a_long_start(bench: Bench) -> None:
    code = "import time; time.sleep(2.5); print('at work')"
    assert bench.python(code, "--stall-timeout", "0.5", "--startup-timeout", "60").code == 0
    result = bench.python(code, "--stall-timeout", "9", "--startup-timeout", "0.5", "--max-retries", "0")
    assert result.code == 70
    assert "still not ready for 0.5 s" in result.stderr


def test_output_is_a_sign_of_life_from_a_child_that_has_no_better(bench: Bench) -> None:
    code = "import time\nfor _ in range(12): print('.'); time.sleep(0.25)"
    assert bench.python(code, "--stall-timeout", "1").code == 0
    assert len(bench.events("attempt_ended")) == 1


def test_what_a_child_declares_is_believed_before_its_exit_code(bench: Bench) -> None:
    code = """
import json, os, pathlib, sys
value = {"kind": "preemption", "type": "SpotNotice", "message": "two minutes left", "hint": "nothing to do"}
if os.environ["SUPERVISE_ATTEMPT"] == "1":
    pathlib.Path(os.environ["SUPERVISE_ERROR_FILE"]).write_text(json.dumps(value))
    sys.exit(1)
"""
    result = bench.python(code)
    assert result.code == 0
    assert kinds(bench) == ["preemption", "None"]
    assert "the child declared: SpotNotice: two minutes left" in result.stderr


BEATS = """
import time
from voice import notify
notify("READY=1")
for _ in range({count}):
    time.sleep({every_s})
    notify("WATCHDOG=1")
print("done")
"""


def test_chaos_that_hangs_the_child_is_survived(bench: Bench) -> None:
    code = BEATS.format(count=15, every_s=0.2)
    options = ["--chaos", "hang", "--chaos-every", "0.3s", "--chaos-limit", "1", "--stall-timeout", "1s"]
    result = bench.python(code, *options)
    assert (result.code, result.stdout) == (0, b"done\n")
    assert len(bench.events("chaos")) == len(bench.events("woken")) == 1


def test_a_supervisor_that_was_frozen_itself_blames_nobody(bench: Bench) -> None:
    code = BEATS.format(count=9, every_s=1)
    started = bench.start(sys.executable, "-c", code, options=["--stall-timeout", "4"])
    time.sleep(1)
    os.kill(started.process.pid, signal.SIGSTOP)
    time.sleep(6)
    os.kill(started.process.pid, signal.SIGCONT)
    assert started.wait(60).code == 0
    assert bench.events("hang") == []
    assert len(bench.events("attempt_ended")) == 1


def test_the_memory_that_an_attempt_took_is_on_record(bench: Bench) -> None:
    bench.python("x = bytearray(150 << 20)")
    (event,) = bench.events("attempt_ended")
    assert 150 << 20 < event["memory_peak_bytes"] < 400 << 20
