"""Starting writers, harming them, and asking them what they were promised."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.crash import oracle
from tests.crash.oracle import Violated
from tests.crash.writer import IN_VAIN, RUN, Job, command_of

ROOT = Path(__file__).resolve().parents[2]
STRIKES_AT = 100  # the n-th call of a name is struck; no writer makes so many of its own
_ATTACH_TIMEOUT_S = 10.0
LAST_WORDS = {"finished", "refused", "broke"}
Event = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """What became of a writer: its exit code (a signal is negative), and what it told."""

    pid: int
    status: int
    events: tuple[Event, ...]

    def told(self, event: str) -> list[Event]:
        return [each for each in self.events if each["event"] == event]

    @property
    def acknowledged(self) -> dict[int, int]:
        """Sample -> the attempt that was told it is kept."""
        return {idx: each["attempt"] for each in self.told("acknowledged") for idx in each["idxs"]}

    @property
    def outcome(self) -> str:
        """`finished`, the name of the store's error, a traceback, or the signal."""
        for each in self.events:
            if each["event"] in {"refused", "broke"}:
                return str(each["error"])
        return "finished" if self.told("finished") else f"exit {self.status}"

    @property
    def statistics(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.told("finished")[0]["statistics"]
        return found


class Writers:
    """A process that has imported the store, with a seeded bug or none, and forks writers."""

    def __init__(self, bug: str = "", *, inside: Sequence[str] = ()) -> None:
        """`inside` is a command that executes the one after it."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CRASH_MUTATION": bug}
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tests.crash.writer"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        self.pid = self._process.pid
        self._told: dict[int, list[Event]] = {}
        self._until(self.pid, "ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def start(self, job: Job) -> int:
        """The PID of a writer that does the job."""
        self._send(command_of(job))
        return int(self._until(None, "started")["pid"])

    def wait_for(self, pid: int, count: int, event: str = "acknowledged") -> None:
        """Return once this writer has told of so many such events, or of its end."""
        told = self._told[pid]
        while sum(each["event"] == event for each in told) < count and told[-1]["event"] not in LAST_WORDS:
            self._next()

    def freeze(self, pid: int) -> int:
        """Stop this writer; how many events `acknowledged` it had told of by then."""
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
            time.sleep(0.001)
        self._send("0\n")  # answered after all that was told before
        self._until(0, "ended")
        return sum(each["event"] == "acknowledged" for each in self._told[pid])

    def end(self, pid: int) -> Ended:
        """Wait until this writer has ended."""
        self._send(f"{pid}\n")
        status = self._until(pid, "ended")["status"]
        return Ended(pid, status, tuple(self._told.pop(pid)))

    def run(self, job: Job) -> Ended:
        """Do the job to whatever end it has."""
        return self.end(self.start(job))

    def _send(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def _until(self, pid: int | None, event: str) -> Event:
        while True:
            found = self._next()
            if found["event"] == event and pid in {None, found["pid"]}:
                return found

    def _next(self) -> Event:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that starts writers has ended: {self._process.wait()}")
        event: Event = json.loads(line)
        self._told.setdefault(event["pid"], []).append(event)
        return event


@dataclass(frozen=True)
class Point:
    """One system call of a writer: the n-th of this name, in its main thread or in the background one."""

    name: str
    ordinal: int
    background: bool = False

    def job(self, job: Job) -> Job:
        """The job, in which the fault strikes here."""
        spent = {self.name: STRIKES_AT - self.ordinal}
        return Job(**{**vars(job), "spent": spent, "spent_in_background": self.background})

    def __str__(self) -> str:
        return f"{self.name} {self.ordinal}{' in the background' if self.background else ''}"


@contextmanager
def traced(writers: Writers, log: Path, fault: str = "") -> Iterator[None]:
    """strace the writers that are started inside; `fault` (`signal=SIGKILL`, `error=EIO`) strikes once in each.

    It strikes the call number STRIKES_AT of each name. strace counts anew in each process and each thread, so one
    strace serves a whole sweep.
    """
    names = ",".join(IN_VAIN)
    inject = [f"--inject={name}:{fault}:when={STRIKES_AT}" for name in IN_VAIN] if fault else []
    command = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log), f"--trace={names}", *inject]
    tracer = subprocess.Popen([*command, "-p", str(writers.pid)], stderr=subprocess.PIPE)
    try:
        _wait_until_traced(writers.pid, tracer)
        yield
    finally:
        tracer.terminate()  # detaches
        tracer.communicate()


def _wait_until_traced(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _ATTACH_TIMEOUT_S
    while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            tracer.kill()
            raise PermissionError(f"strace cannot attach: {tracer.communicate()[1].decode().strip()}")
        time.sleep(0.01)


def why_not_traceable(directory: Path) -> str:
    """Why strace cannot be used here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with Writers() as writers:
        try:
            with traced(writers, directory / "probe.trace"):
                return ""
        except PermissionError as error:
            return str(error)


def points_of(trace: Path, pid: int) -> list[Point]:
    """Every call of a traced writer, which ended without a fault."""
    counts: Counter[tuple[str, bool]] = Counter()
    points = []
    for thread, name, _ in calls(trace):
        key = (name, thread != pid)
        counts[key] += 1
        points.append(Point(name, counts[key], key[1]))
    return points


def calls(trace: Path) -> Iterator[tuple[int, str, str]]:
    """Thread id, name, and the rest of the line, of each call."""
    for line in trace.read_text(errors="replace").splitlines():
        if match := re.match(r"(\d+) +(\w+)\((.*)", line):
            yield int(match[1]), match[2], match[3]


def check_no_fsync_is_retried(trace: Path) -> None:
    """After an fsync that failed, the kernel may say yes to the next though the data is gone."""
    failed: set[tuple[int, str]] = set()
    for thread, name, rest in calls(trace):
        if name in {"fsync", "fdatasync"} and "<" in rest:
            file = (thread, rest[rest.index("<") : rest.index(">")])
            if file in failed:
                raise Violated(f"synced again after it had failed: {file[1]}")
            if "(INJECTED)" in rest and " = -1 E" in rest and "EINTR" not in rest:
                failed.add(file)


def judge(
    harmed: Iterable[Ended], crashed: Path, resumed: Ended, finished: Path, total: int, *, log_lost: bool = False
) -> None:
    """Nothing acknowledged by the harmed writers is lost, now or after resuming to the end, and all numbers agree.

    `log_lost`: the end of the log did not reach the disk, so the checkpoint that was left may count more, and what a
    reader finds of it depends on what the kernel still remembers.
    """
    acknowledged: dict[int, int] = {}
    for each in harmed:
        check_outcome(each)
        acknowledged |= each.acknowledged
    check_crashed(crashed, acknowledged, log_lost=log_lost)
    if resumed.outcome != "finished":
        raise Violated(f"{finished}: resuming ended with {resumed.outcome}: {resumed.events}")
    if not log_lost and (before := resumed.told("opened")[0]["before"]):
        oracle.check_statistics(crashed, before)
    oracle.check_finished(finished, total, acknowledged | resumed.acknowledged, resumed.statistics)


def check_outcome(ended: Ended) -> None:
    """Killed, finished, or refused in the store's own words, with nothing acknowledged after that."""
    if ended.outcome not in {"finished", "StorageFailed", "exit -9"}:
        raise Violated(f"a writer ended with {ended.outcome}")
    if ended.told("acknowledged_after_failure"):
        raise Violated("a record was acknowledged after the storage had failed")


def check_crashed(crashed: Path, acknowledged: Mapping[int, int], *, log_lost: bool = False) -> None:
    """What readers find before anybody resumes."""
    oracle.check_survived(crashed, acknowledged)
    oracle.check_once(crashed)
    if not log_lost and (crashed / "checkpoint.json").exists():
        oracle.check_checkpoint(crashed, current=False)


def fresh(directory: Path, base: Path | None = None) -> Path:
    """An empty folder, or a copy of the base."""
    shutil.rmtree(directory, ignore_errors=True)
    if base is not None:
        shutil.copytree(base, directory)
    else:
        directory.mkdir()
    return directory


def run_in(directory: Path) -> Path:
    """The folder of the run in the directory that a job names."""
    return directory / RUN
