"""A real supervisor at a real (pseudo) terminal, with somebody at the keyboard."""

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pyte
import pytest

from tests.supervisor.bench import Bench

CTRL_C, CTRL_Z = b"\x03", b"\x1a"
COUNTER = """
import itertools, time
print("ready", flush=True)
for count in itertools.count():
    time.sleep(0.05)
    print(f"count {count}", flush=True)
"""


@dataclass
class Keyboard:
    """The other side of a terminal whose session leader is `pid`."""

    pid: int
    descriptor: int
    text: str = ""

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def read(self, timeout_s: float = 0.1) -> bool:
        """Take what has appeared; False when the terminal is gone."""
        if select.select([self.descriptor], [], [], timeout_s)[0]:
            try:
                text = self.text + os.read(self.descriptor, 65536).decode(errors="replace")
                self.text = text.replace("\r\r\n", "\r\n")
            except OSError:
                return False
        return True

    def wait_for(self, pattern: str, timeout_s: float = 15) -> None:
        """Wait for new text, and forget what came before its end."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline_s, f"{pattern!r} never appeared in {self.text!r}"
            assert self.read(), f"the terminal closed before {pattern!r} appeared in {self.text!r}"
        self.text = self.text[found.end() :]

    def end(self, options: int = 0, timeout_s: float = 15) -> int:
        """The wait status of the session leader; reads on meanwhile, as a terminal does."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | options)
            if pid:
                self.read(0.2)
                return status
            assert time.monotonic() < deadline_s, f"it does not end: {self.text!r}"
            self.read(0.02)


Sit = Callable[[Sequence[str]], Keyboard]


@pytest.fixture
def sit(bench: Bench) -> Iterator[Sit]:
    """Start something on a new terminal."""
    keyboards: list[Keyboard] = []

    def start(words: Sequence[str]) -> Keyboard:
        pid, descriptor = pty.fork()
        if pid == 0:
            os.chdir(bench.folder)
            os.execvpe(words[0], list(words), {**bench.environment, "TERM": "xterm", "NO_COLOR": "1", "PS1": "shell> "})
        keyboards.append(Keyboard(pid, descriptor))
        return keyboards[-1]

    yield start
    for keyboard in keyboards:
        with suppress(psutil.NoSuchProcess, ChildProcessError):
            leader = psutil.Process(keyboard.pid)
            for process in [leader, *leader.children(recursive=True)]:
                process.kill()
            os.waitpid(keyboard.pid, 0)
        os.close(keyboard.descriptor)


def test_a_typed_ctrl_c_reaches_the_child_and_ends_the_supervisor_as_sigint(bench: Bench, sit: Sit) -> None:
    code = (
        "import time\nprint('ready', flush=True)\ntry: time.sleep(300)\nexcept KeyboardInterrupt: print('heard'); raise"
    )
    keyboard = sit(bench.words([sys.executable, "-c", code]))
    keyboard.wait_for("ready\r\n")
    keyboard.type(CTRL_C)
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT
    assert keyboard.text.count("heard\r\n") == 1
    assert "stopped by the user" in keyboard.text
    assert len(bench.events("attempt_starting")) == 1


def test_a_typed_ctrl_c_ends_the_script_around_the_supervisor_too(bench: Bench, sit: Sit) -> None:
    words = bench.words(["sh", "-c", "echo ready; sleep 300"])
    keyboard = sit(["bash", "-c", f"{shlex.join(words)}; echo script went on"])
    keyboard.wait_for("ready\r\n")
    keyboard.type(CTRL_C)
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT
    assert "script went on" not in keyboard.text


@pytest.mark.parametrize("keys", [[CTRL_C] * 3, [b"\x1c"]], ids=["three times Ctrl-C", "Ctrl-backslash"])
def test_a_child_that_ignores_the_keyboard_does_not_keep_its_user(bench: Bench, sit: Sit, keys: list[bytes]) -> None:
    deaf = (
        "import signal, time\nfor number in (2, 15): signal.signal(number, lambda n, _: print('no', n, flush=True))\n"
    )
    keyboard = sit(bench.words([sys.executable, "-c", deaf + "print('ready', flush=True)\nwhile True: time.sleep(1)"]))
    keyboard.wait_for("ready\r\n")
    for at, key in enumerate(keys):
        keyboard.type(key)
        if at < len(keys) - 1:
            keyboard.wait_for(f"no {(2, 15)[at]}\r\n")
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT


def test_ctrl_z_works_between_two_attempts_too(bench: Bench, sit: Sit) -> None:
    code = "import os, time\nprint('try', os.environ['SUPERVISE_ATTEMPT'], flush=True)\ntime.sleep(0.1)\nos.abort()"
    keyboard = sit(bench.words([sys.executable, "-c", code], ["--retry-delay", "200"]))
    keyboard.wait_for(r"restarting in .*\r\n")
    keyboard.type(CTRL_Z)
    assert os.WIFSTOPPED(keyboard.end(os.WUNTRACED))
    os.killpg(keyboard.pid, signal.SIGCONT)
    keyboard.type(CTRL_C)
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT


def test_ctrl_z_stops_the_job_and_continuing_it_continues_the_child(bench: Bench, sit: Sit) -> None:
    keyboard = sit(bench.words([sys.executable, "-c", COUNTER]))
    for _ in range(2):
        keyboard.wait_for(r"count \d+\r\n")
        keyboard.type(CTRL_Z)
        assert os.WIFSTOPPED(keyboard.end(os.WUNTRACED))
        keyboard.text = ""
        keyboard.read(0.3)
        assert "count" not in keyboard.text
        os.killpg(keyboard.pid, signal.SIGCONT)
    keyboard.wait_for(r"count \d+\r\n")
    keyboard.type(CTRL_C)
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT


def test_in_the_background_it_leaves_the_terminal_to_the_shell(bench: Bench, sit: Sit) -> None:
    go = bench.folder / "go"
    # Not a shell: one that is about to start a command by vfork() cannot be stopped at that moment.
    code = f"import os, time\nprint('ready', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    words = bench.words([sys.executable, "-c", code])
    keyboard = sit(["bash", "--norc", "--noprofile", "-i"])
    keyboard.wait_for("shell> ")
    keyboard.type(shlex.join(words).encode() + b"\n")
    keyboard.wait_for("ready\r\n")
    keyboard.type(CTRL_Z)
    keyboard.wait_for("Stopped")
    keyboard.type(b"bg\n")
    time.sleep(0.3)
    keyboard.type(b"echo still $((6 * 7))\n")
    keyboard.wait_for("still 42\r\n")
    go.touch()
    keyboard.wait_for("complete · 1 attempt")
    keyboard.type(b"echo even $((7 * 7))\n")
    keyboard.wait_for("even 49\r\n")
    keyboard.type(b"exit 5\n")
    assert os.waitstatus_to_exitcode(keyboard.end()) == 5


def test_every_attempt_gets_the_keyboard(bench: Bench, sit: Sit) -> None:
    code = "import os\nprint('word', os.environ['SUPERVISE_ATTEMPT'], flush=True)\nprint('got', input())\nos.abort()"
    keyboard = sit(bench.words([sys.executable, "-c", code], ["--max-retries", "1"]))
    for attempt in (1, 2):
        keyboard.wait_for(f"word {attempt}\r\n")
        keyboard.type(f"text {attempt}\n".encode())
        keyboard.wait_for(f"got text {attempt}\r\n")
    assert os.waitstatus_to_exitcode(keyboard.end()) == 70


def test_the_panel_shows_the_progress_below_the_childs_output_and_goes_away_at_the_end(bench: Bench, sit: Sit) -> None:
    code = """
import sys, time
from voice import notify
for done in range(12):
    notify(f"READY=1\\nX_DONE={done}\\nX_TOTAL=12")
    time.sleep(0.1)
    if done % 4 == 3:
        print(f"line {done}", flush=True)
"""
    (bench.folder / "job.py").write_text(code)
    keyboard = sit(bench.words([sys.executable, "job.py"], ["--name", "night"]))
    terminal = pyte.HistoryScreen(80, 24, history=1000)
    stream = pyte.Stream(terminal)
    bars = set()
    while keyboard.read(1):
        stream.feed(keyboard.text)
        keyboard.text = ""
        rows = [row.rstrip() for row in terminal.display if row.strip()]
        shown = [row for row in rows if row.startswith("── supervise · night")]
        assert len(shown) <= 1
        bars |= {found[0] for row in rows if (found := re.search(r"[0-9]+/12", row)) and shown}
    assert os.waitstatus_to_exitcode(keyboard.end()) == 0
    assert len(bars) >= 3
    rows = [row.rstrip() for row in terminal.display if row.strip()]
    assert [row for row in rows if not row.startswith("supervise  ")] == ["line 3", "line 7", "line 11"]
    assert re.fullmatch(r"supervise  complete · 1 attempt\(s\) · 11/12 samples · \d\.\ds", rows[-1])


TERMINAL = """
import os, signal, sys, time
def told(*_):
    print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size().columns, flush=True)
signal.signal(signal.SIGWINCH, told)
told()
time.sleep(300)
"""


def test_the_child_has_a_terminal_of_the_size_of_ours_also_when_that_changes(bench: Bench, sit: Sit) -> None:
    keyboard = sit(["sh", "-c", f"stty cols 91 rows 30; {shlex.join(bench.words([sys.executable, '-c', TERMINAL]))}"])
    keyboard.wait_for("True True 91\r\n")
    fcntl.ioctl(keyboard.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 47, 0, 0))
    keyboard.wait_for("True True 47\r\n")
    assert b"\r" not in bench.raw_logs()
    keyboard.type(CTRL_C)
    assert os.waitstatus_to_exitcode(keyboard.end()) == -signal.SIGINT


@pytest.mark.parametrize("how", ["--plain", "| cat"])
def test_without_a_panel_there_are_lines_with_the_time(bench: Bench, sit: Sit, how: str) -> None:
    words = bench.words(["sh", "-c", "test -t 1 && echo a terminal || echo a pipe"], ["--plain"][: how == "--plain"])
    keyboard = sit(["bash", "-c", f"{shlex.join(words)} {how if how.startswith('|') else ''}"])
    while keyboard.read(1):
        pass
    assert os.waitstatus_to_exitcode(keyboard.end()) == 0
    assert ("a terminal" if how == "--plain" else "a pipe") in keyboard.text
    assert re.search(r"(?m)^supervise \d\d:\d\d:\d\d  complete", keyboard.text)
    assert "\x1b[" not in keyboard.text
