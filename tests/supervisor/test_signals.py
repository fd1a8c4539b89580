"""What signals to a real supervisor come to. Each has a session of its own, so only we signal it."""

import signal
import sys
import time

import pytest

from tests.supervisor.bench import Bench, Started, wait_until

# Says what it hears; `{on_signal}` is what it does then.
LISTENER = """
import os, signal, sys, time
def hear(number, frame):
    print(signal.Signals(number).name, flush=True)
    {on_signal}
for number in ({numbers}):
    signal.signal(number, hear)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
ALL = "signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2"


def start_listener(bench: Bench, on_signal: str, numbers: str = ALL, options: tuple[str, ...] = ()) -> Started:
    code = LISTENER.format(on_signal=on_signal, numbers=numbers)
    started = bench.start(sys.executable, "-c", code, options=options)
    hears(started, b"ready\n")
    return started


def hears(started: Started, text: bytes) -> None:
    wait_until(lambda: started.stdout.read_bytes().endswith(text))


def test_sigint_reaches_the_child_and_ends_the_supervisor_as_sigint(bench: Bench) -> None:
    started = start_listener(bench, "sys.exit(1)")
    started.process.send_signal(signal.SIGINT)
    result = started.wait()
    assert result.code == -signal.SIGINT
    assert result.stdout == b"ready\nSIGINT\n"
    assert len(bench.events("attempt_starting")) == 1
    assert "stopped by the user" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_drain_signal_is_forwarded_as_it_is_and_asks_to_be_requeued(bench: Bench, number: signal.Signals) -> None:
    started = start_listener(bench, "sys.exit(75)")
    started.process.send_signal(number)
    result = started.wait()
    assert result.code == 75
    assert result.stdout.decode() == f"ready\n{number.name}\n"
    assert len(bench.events("attempt_starting")) == 1


def test_a_warning_alone_lets_the_child_finish_its_work(bench: Bench) -> None:
    started = start_listener(bench, "time.sleep(1.5); sys.exit(0)", options=("--grace", "0.2"))
    started.process.send_signal(signal.SIGUSR1)
    result = started.wait()
    assert result.code == 0
    assert result.stdout == b"ready\nSIGUSR1\n"


def test_a_child_that_ignores_sigterm_is_killed_when_its_grace_is_over(bench: Bench) -> None:
    started = start_listener(bench, "pass", options=("--grace", "1"))
    asked_s = time.monotonic()
    started.process.terminate()
    result = started.wait()
    assert result.code == 75
    assert 0.9 < time.monotonic() - asked_s < 5
    assert result.stdout == b"ready\nSIGTERM\nSIGTERM\n"
    assert [event["signal"] for event in bench.events("attempt_ended")] == [signal.SIGKILL]


def test_the_helpers_of_a_child_live_while_it_saves_its_work(bench: Bench) -> None:
    code = """
import os, signal, subprocess, sys, time
helper = subprocess.Popen(["sh", "-c", "read line; echo saved"], stdin=subprocess.PIPE)
def save(number, frame):
    time.sleep(0.2)
    helper.communicate(b"go\\n")
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
    started = bench.start(sys.executable, "-c", code)
    hears(started, b"ready\n")
    started.process.terminate()
    result = started.wait()
    assert (result.code, result.stdout) == (75, b"ready\nsaved\n")


def test_a_second_ctrl_c_terminates(bench: Bench) -> None:
    started = start_listener(bench, "number == signal.SIGTERM and sys.exit(1)")
    started.process.send_signal(signal.SIGINT)
    hears(started, b"SIGINT\n")
    started.process.send_signal(signal.SIGINT)
    result = started.wait(10)
    assert (result.code, result.stdout) == (-signal.SIGINT, b"ready\nSIGINT\nSIGTERM\n")


def test_a_third_ctrl_c_kills(bench: Bench) -> None:
    started = start_listener(bench, "pass")
    for heard in (b"SIGINT\n", b"SIGTERM\n"):
        started.process.send_signal(signal.SIGINT)
        hears(started, heard)
    started.process.send_signal(signal.SIGINT)
    assert started.wait(10).code == -signal.SIGINT
    assert [event["signal"] for event in bench.events("attempt_ended")] == [signal.SIGKILL]


def test_under_nohup_a_hangup_changes_nothing(bench: Bench) -> None:
    go = bench.folder / "go"
    words = bench.words(["sh", "-c", f"echo ready; while ! test -e {go}; do sleep 0.02; done; echo finished"])
    started = bench.launch(["nohup", *words])
    hears(started, b"ready\n")
    started.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert bench.events("signal_received") == []
    go.touch()
    assert started.wait().code == 0
    assert bench.raw_logs() == b"ready\nfinished\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, -signal.SIGINT)])
def test_a_stop_during_the_pause_ends_at_once(bench: Bench, number: signal.Signals, code: int) -> None:
    # The pause is of random length up to five minutes; a signal that is sent as it begins finds it almost surely.
    started = bench.start("false", options=["--retry-delay", "300"])
    wait_until(lambda: bench.events("restart"))
    attempts = len(bench.events("attempt_starting"))
    started.process.send_signal(number)
    asked_s = time.monotonic()
    assert started.wait().code == code
    assert time.monotonic() - asked_s < 3
    assert len(bench.events("attempt_starting")) == attempts


def test_a_child_that_is_told_to_go_by_somebody_else_is_brought_back(bench: Bench) -> None:
    code = "import os, signal; os.environ['SUPERVISE_ATTEMPT'] == '1' and os.kill(os.getpid(), signal.SIGTERM)"
    assert bench.python(code, "--max-retries", "0").code == 0
    assert [event.get("kind") for event in bench.events("attempt_ended")] == ["preemption", None]


def test_the_child_starts_with_signals_as_we_found_them(bench: Bench) -> None:
    code = (
        "import signal; print([signal.getsignal(n).name for n in (1, 10, 12, 15, 17)], signal.pthread_sigmask(0, []))"
    )
    assert bench.python(code).stdout.decode() == f"{['SIG_DFL'] * 5} set()\n"
