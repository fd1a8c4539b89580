"""One act on a run, in a process of its own: `python -m bench.probe ACT FOLDER RUN [MODE]` prints what it cost.

Acts: `open`, `statistics`, `crc` (only read the lines and check their CRC-32), and `work` (record until killed).
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.payload import sample
from checkpoints import CheckpointManager, Durability

MODES: dict[str, Callable[[], Durability]] = {
    "process": Durability.process,
    "group": Durability.group,
    "strict": Durability.strict,
}
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """What an act took: wall-clock and processor seconds (of all processes and threads), and the memory's peak.

    `peak_rss_mib` is that of the largest process.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    samples: int


def probe(act: str, folder: Path, run_name: str) -> Cost:
    """Run the act in a fresh process. Raises CalledProcessError, with the child's words on our stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.probe", act, str(folder), run_name],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Cost(**json.loads(done.stdout))


def start_worker(folder: Path, run_name: str, mode: str) -> subprocess.Popen[bytes]:
    """Start a process that records as fast as it can; returns once it has begun."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "bench.probe", "work", str(folder), run_name, mode],
        env=environment(),
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    if not worker.stdout.readline():
        raise RuntimeError(f"the worker ended with exit status {worker.wait()}")
    return worker


def environment() -> dict[str, str]:
    """For children: they import what we import."""
    return {**os.environ, "PYTHONPATH": str(_ROOT)}


def main(arguments: list[str]) -> None:
    """Do the act and print its cost as JSON."""
    act, folder, run_name, *mode = arguments
    if act == "work":
        work(CheckpointManager(folder, run_name, durability=MODES[mode[0]]()).open())
    manager = CheckpointManager(folder, run_name)
    acts: dict[str, Callable[[], object]] = {
        "open": manager.open,
        "statistics": manager.get_statistics,
        "crc": lambda: check_lines(manager.layout.results),
    }
    cpu_s, begun_s = _cpu_s(), time.perf_counter()
    acts[act]()
    wall_s = time.perf_counter() - begun_s
    cost = {"wall_s": wall_s, "cpu_s": _cpu_s() - cpu_s, "peak_rss_mib": _peak_rss_mib()}
    samples = 0 if act == "crc" else manager.get_statistics().samples_processed
    manager.close()
    print(json.dumps({**cost, "samples": samples}))


def work(manager: CheckpointManager) -> None:
    """Record until killed."""
    first = manager.get_statistics().samples_processed
    print("begun", flush=True)
    for idx in count(first):
        manager.record(sample(idx))


def check_lines(path: Path) -> None:
    """The least that a reader who trusts nothing has to do, in the plainest Python."""
    with path.open("rb") as file:
        for line in file:
            if b"%08x" % zlib.crc32(line[:-19]) != line[-11:-3]:
                raise ValueError("a line is damaged")


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_rss_mib() -> float:
    """Not ru_maxrss of ourselves, which starts at what our parent held when it started us."""
    own = re.search(r"^VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, children) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
