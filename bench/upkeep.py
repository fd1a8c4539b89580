"""What supervision costs while nothing happens, and while very much is said; and five hundred restarts in a row."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Outcome, Target
from bench.restarts import ROOT

_MIB = 1 << 20
_PATIENCE_S = 600.0
BLOCK = bytes(range(256)) * 4096

QUIET = "import time; time.sleep({seconds})"
TALKER = """
import sys
block = bytes(range(256)) * 4096
for _ in range({mebibytes}):
    sys.stdout.buffer.write(block)
sys.stdout.buffer.flush()
sys.stdin.read()
"""
MORTAL = """
import os, random, signal, sys
attempt = int(os.environ["SUPERVISE_ATTEMPT"])
if attempt > {restarts}:
    sys.exit(0)
if attempt % 10 == 0 and os.fork() == 0:
    os.setsid()
    import time
    time.sleep(600)
how = random.Random(attempt).choice(["segv", "kill", "abrt", "exit", "preempt"])
if how == "exit":
    sys.exit(1)
if how == "preempt":
    sys.exit(75)
os.kill(os.getpid(), {{"segv": signal.SIGSEGV, "kill": signal.SIGKILL, "abrt": signal.SIGABRT}}[how])
"""


@dataclass(frozen=True)
class Sizes:
    """How long it is quiet, how much is said, how often it dies."""

    quiet_s: float
    mebibytes: int
    restarts: int


@contextmanager
def supervised(folder: Path, code: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor at work on some Python, which reads from a pipe that we hold."""
    folder.mkdir()
    words = [sys.executable, "-m", "supervisor", "--log-dir", str(folder / "logs"), "--name", "bench", *options]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [*words, "--", sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


def measure_quiet(folder: Path, sizes: Sizes) -> Outcome:
    """The processor's time that goes by beside a child that says nothing."""
    with supervised(folder / "quiet", QUIET.format(seconds=sizes.quiet_s + 5)) as process:
        time.sleep(2.0)
        before_s, begun_s = _cpu_s(process.pid), time.monotonic()
        time.sleep(sizes.quiet_s)
        spent_s, passed_s = _cpu_s(process.pid) - before_s, time.monotonic() - begun_s
        resident = _status_bytes(process.pid, "VmRSS")
    return Outcome(
        [
            Figure("beside a quiet child: of one core", 100 * spent_s / passed_s, "%", target=Target(0.5)),
            Figure("beside a quiet child: resident memory", resident / _MIB, "MiB"),
        ]
    )


def measure_talker(folder: Path, sizes: Sizes) -> Outcome:
    """A child that prints very much: the raw log has all of it, and the supervisor none."""
    begun_s = time.monotonic()
    with supervised(folder / "talker", TALKER.format(mebibytes=sizes.mebibytes)) as process:
        out = folder / "talker" / "out"
        while out.stat().st_size < sizes.mebibytes * _MIB and time.monotonic() - begun_s < _PATIENCE_S:
            time.sleep(0.01)
        passed_s = time.monotonic() - begun_s
        peak = _status_bytes(process.pid, "VmHWM")
        process.communicate(timeout=_PATIENCE_S)
    expected = hashlib.sha256()
    for _ in range(sizes.mebibytes):
        expected.update(BLOCK)
    parts = sorted((folder / "talker/logs/bench/attempt-0001").glob("output*.log"), key=_part_number)
    logged = hashlib.sha256()
    for path in parts:
        with path.open("rb") as file:
            while data := file.read(_MIB):
                logged.update(data)
    broken = [] if logged.digest() == expected.digest() else ["the raw log is not what the child has printed"]
    return Outcome(
        [
            Figure("printed", sizes.mebibytes, "MiB"),
            Figure("passed on and logged", sizes.mebibytes / passed_s, "MiB/s"),
            Figure("parts of the raw log", len(parts), ""),
            Figure("the supervisor's peak memory", peak / _MIB, "MiB", target=Target(60.0)),
        ],
        broken=broken,
    )


def measure_soak(folder: Path, sizes: Sizes) -> Outcome:
    """Many deaths of random kinds in one supervision: no zombie, no descriptor and no memory more, all on record."""
    begun_s = time.monotonic()
    options = ["--retry-delay", "0", "--max-retries", str(sizes.restarts * 2)]
    options += [word for kind in ("sigkill", "abort", "unknown") for word in ("--retry", f"{kind}={sizes.restarts}")]
    seen: list[tuple[int, int, int]] = []  # attempts, descriptors, resident bytes
    zombies = 0
    journal = folder / "soak/logs/bench/events.jsonl"
    with supervised(folder / "soak", MORTAL.format(restarts=sizes.restarts), *options) as process:
        while process.poll() is None and time.monotonic() - begun_s < _PATIENCE_S:
            time.sleep(0.25)
            try:
                attempts = len(list(journal.parent.glob("attempt-*")))
                seen.append(
                    (
                        attempts,
                        len(list(Path(f"/proc/{process.pid}/fd").iterdir())),
                        _status_bytes(process.pid, "VmRSS"),
                    )
                )
                zombies = max(zombies, _zombies(process.pid))
            except (OSError, StopIteration):
                continue
    passed_s = time.monotonic() - begun_s
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    ended = [event["attempt"] for event in events if event["event"] == "attempt_ended"]
    broken = []
    if process.returncode != 0:
        broken.append(f"it ended with exit code {process.returncode}")
    if ended != list(range(1, sizes.restarts + 2)):
        broken.append(f"the journal has the ends of {len(ended)} attempts")
    if zombies > 1:  # one may just have died
        broken.append(f"{zombies} zombies were seen at once")
    half = len(seen) // 2
    early, late = seen[:half] or seen, seen[half:] or seen
    descriptors = max(each[1] for each in late) - max(each[1] for each in early)
    growth = (
        sorted(each[2] for each in late)[len(late) // 2] - sorted(each[2] for each in early)[len(early) // 2]
    ) / _MIB
    if descriptors > 0:
        broken.append(f"it has {descriptors} descriptors more in the second half")
    if growth > 8:
        broken.append(f"it has {growth:.1f} MiB more in the second half")
    kinds = {event["kind"] for event in events if event["event"] == "attempt_ended" and "kind" in event}
    return Outcome(
        [
            Figure("restarts", sizes.restarts, ""),
            Figure("kinds of failure among them", len(kinds), ""),
            Figure("restarts per second", sizes.restarts / passed_s, "1/s"),
            Figure("most zombies seen at once", zombies, ""),
            Figure("descriptors, second half beyond the first", max(0, descriptors), "", target=Target(0.0)),
            Figure("resident memory, second half beyond the first", max(0.0, growth), "MiB", target=Target(8.0)),
        ],
        broken=broken,
    )


def _part_number(path: Path) -> float:
    middle = path.name.split(".")[1:-1]
    return int(middle[0]) if middle else float("inf")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def _zombies(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = 0
    for child in children:
        try:
            found += Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
    return found
