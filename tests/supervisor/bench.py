"""A bench for real supervisors: each test gets a folder, starts `python -m supervisor` there, and leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from supervisor.journal import read_journal
from supervisor.process import find_by_id

REPOSITORY = Path(__file__).resolve().parents[2]
_OUR_TRACEBACK = re.compile(rf'File "{re.escape(str(REPOSITORY))}/(supervisor/|crashproof\.py)')

# Lies beside the child's code: `from voice import notify`.
VOICE = """
import os, socket
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
        voice.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
"""


@dataclass(frozen=True)
class Result:
    """What a supervisor came to."""

    code: int
    stdout: bytes
    stderr: str


@dataclass
class Started:
    """A running supervisor; its output goes to files, so it never waits for us."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def wait(self, timeout_s: float = 30) -> Result:
        code = self.process.wait(timeout_s)
        return Result(code, self.stdout.read_bytes(), self.stderr.read_text(errors="replace"))


@dataclass
class Bench:
    """`folder` is the working directory; journals and raw logs lie under `logs/`."""

    folder: Path
    started: list[Started] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "voice.py").write_text(VOICE)

    @property
    def environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("SUPERVISE", "NOTIFY"))}
        return {**own, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(self.folder)}

    def words(self, command: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        ours = [sys.executable, "-m", "supervisor", "--retry-delay", "0.01", "--log-dir", str(self.folder / "logs")]
        return [*ours, *options, "--", *command]

    def launch(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Started:
        number = len(self.started)
        out, err = self.folder / f"stdout-{number}", self.folder / f"stderr-{number}"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                start_new_session=True,
            )
        self.started.append(Started(process, out, err))
        return self.started[-1]

    def start(self, *command: str, options: Sequence[str] = ()) -> Started:
        return self.launch(self.words(command, options))

    def run(self, *command: str, options: Sequence[str] = ()) -> Result:
        return self.start(*command, options=options).wait()

    def python(self, code: str, *options: str) -> Result:
        return self.run(sys.executable, "-c", code, options=options)

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        paths = sorted(self.folder.glob("logs/*/events.jsonl"))
        found = [line for path in paths for line in read_journal(path)]
        return [line for line in found if event in {None, line["event"]}]

    def raw_logs(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("logs/*/attempt-*/output.log")))

    def left_alive(self) -> list[int]:
        """Every process of a child tree that still lives."""
        ids = {str(event["supervise_id"]) for event in self.events()}
        return [pid for one in ids for pid in find_by_id(one)]

    def clear(self) -> None:
        """Kill what is left, after a test that went wrong."""
        for started in self.started:
            if started.process.poll() is None:
                started.process.kill()
                started.process.wait()
        for pid in self.left_alive():
            psutil.Process(pid).kill()

    def own_tracebacks(self) -> list[str]:
        """The errors of supervisors that crashed themselves (a child's traceback is none of ours)."""
        texts = [started.stderr.read_text(errors="replace") for started in self.started]
        return [text for text in texts if _OUR_TRACEBACK.search(text)]


def wait_until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Wait for a condition; fails when it does not come true."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.01)
