"""What it costs to come back to a long run: with its checkpoint, without, after a kill, and beside a writer.

Every row is measured in a fresh process, interpreter and imports not counted. The log has just been written, so it
is read from the page cache as far as the memory holds it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Outcome, Target, number
from bench.measure import ratio, spread
from bench.payload import append_short_samples
from bench.probe import Cost, probe, start_worker
from checkpoints import CheckpointManager

RUN = "long"
OPEN_TARGET_S = 0.05
RSS_TARGET_MIB = 100.0
SCAN_TARGET = 1e6


@dataclass(frozen=True)
class Sizes:
    """The run's records; how often a scan and an open() are repeated; how long a worker writes before its death."""

    records: int
    scans: int
    opens: int
    work_s: float


def measure(folder: Path, sizes: Sizes) -> Outcome:
    """All rows of the table. A wrong count of samples is a broken promise."""
    manager = CheckpointManager(folder, RUN)
    write_long_run(manager, sizes.records)
    size_bytes = manager.layout.results.stat().st_size
    scans, bare = [], []
    for _ in range(sizes.scans):
        manager.layout.checkpoint.unlink()
        bare.append(probe("crc", folder, RUN))
        scans.append(probe("open", folder, RUN))
    opens = [probe("open", folder, RUN) for _ in range(sizes.opens)]
    deaths = [figure for mode in ("process", "group") for figure in after_kill(folder, mode, sizes)]
    wrong = [cost for cost in (*scans, *opens) if cost.samples != sizes.records]
    return Outcome(
        [*scan_figures(scans, bare, sizes.records), *open_figures("after close(): open()", opens), *deaths],
        notes=[f"\nThe run: {sizes.records:,} records, {number(size_bytes / 1e9)} GB."],
        broken=[f"{cost.samples:,} samples were found instead of {sizes.records:,}" for cost in wrong],
    )


def write_long_run(manager: CheckpointManager, records: int) -> None:
    """A run whose first attempt recorded all these."""
    with manager.open():
        pass
    append_short_samples(manager.layout.results, 0, records)


def scan_figures(scans: Sequence[Cost], bare: Sequence[Cost], records: int) -> list[Figure]:
    """Opening without a checkpoint: every record is read and checked."""
    return [
        spread("no checkpoint: open(), wall", [cost.wall_s for cost in scans], "s"),
        spread("no checkpoint: open(), processor", [cost.cpu_s for cost in scans], "s"),
        spread(
            "no checkpoint: records per second of one core",
            [records / cost.cpu_s for cost in scans],
            "1/s",
            Target(SCAN_TARGET, at_least=True),
        ),
        ratio(
            "no checkpoint: open() / lines read and CRC checked, processor",
            [cost.cpu_s for cost in scans],
            [cost.cpu_s for cost in bare],
        ),
        _peak("no checkpoint: peak memory", scans),
    ]


def open_figures(name: str, costs: Sequence[Cost]) -> list[Figure]:
    """Opening with a checkpoint."""
    return [
        spread(f"{name}, wall", [cost.wall_s * 1e3 for cost in costs], "ms", Target(OPEN_TARGET_S * 1e3)),
        _peak(f"{name}, peak memory", costs),
    ]


def after_kill(folder: Path, mode: str, sizes: Sizes) -> list[Figure]:
    """A writer at full speed, a reader beside it, SIGKILL, and open()."""
    read, opens, written_bytes = [], [], []
    results = CheckpointManager(folder, RUN).layout.results
    for _ in range(sizes.opens):
        before_bytes = results.stat().st_size
        worker = start_worker(folder, RUN, mode)
        try:
            time.sleep(sizes.work_s)
            read.append(probe("statistics", folder, RUN))
        finally:
            worker.kill()
            worker.wait()
        written_bytes.append((results.stat().st_size - before_bytes) / 2**20)
        opens.append(probe("open", folder, RUN))
    name = f"{mode}, SIGKILL at full speed"
    return [
        *open_figures(f"{name}: open()", opens),
        Figure(f"{name}: written by the attempt", statistics.median(written_bytes), "MiB"),
        spread(f"{name}: get_statistics() beside it", [cost.wall_s * 1e3 for cost in read], "ms"),
    ]


def _peak(name: str, costs: Sequence[Cost]) -> Figure:
    return spread(name, [cost.peak_rss_mib for cost in costs], "MiB", Target(RSS_TARGET_MIB))
