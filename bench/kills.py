"""A thousand SIGKILLs at random moments: nothing acknowledged is lost, nothing counts twice, coming back is cheap.

Each victim is a process of its own, killed from outside, now while it opens the run, now while it records. The page
cache survives a kill, so this says nothing about power failures.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Figure, Outcome
from bench.measure import spread
from bench.server import Server, serving
from bench.victim import OPENED, RUN, TOLD, WINDOW, Orders
from checkpoints import CheckpointError, CheckpointManager
from checkpoints.recovery import read_checkpoint

MODES = ("process", "group", "strict")
_DURING_OPEN = 0.25  # of the kills
_PATIENCE_S = 30.0
_RECORDS_AT_ONCE = 4


@dataclass(frozen=True)
class Sizes:
    """How many kills, and the longest time a victim is left to record."""

    kills: int
    longest_s: float = 0.02
    forgetful: bool = False


@dataclass
class Toll:
    """What the victims acknowledged, and what was seen at each death."""

    attempts: dict[int, int] = field(default_factory=dict)  # by sample
    twice: list[int] = field(default_factory=list)
    open_s: list[float] = field(default_factory=list)
    kills: int = 0
    kills_while_opening: int = 0
    tail_bytes: list[int] = field(default_factory=list)
    unsynced_bytes: list[int] = field(default_factory=list)
    unusable_checkpoints: int = 0
    broken: list[str] = field(default_factory=list)

    def hear(self, data: bytes) -> int:
        """Take in whole acknowledgements; returns how many told of an open()."""
        opened = 0
        for idx, attempt, seconds in TOLD.iter_unpack(data):
            if idx == OPENED:
                opened += 1
                self.open_s.append(seconds)
                continue
            if idx in self.attempts:
                self.twice.append(idx)
            self.attempts[idx] = attempt
        return opened


def measure(folder: Path, sizes: Sizes) -> Outcome:
    """Kill, resume, kill; then let one end, and compare the log with everything that was acknowledged."""
    toll, chance, manager = Toll(), random.Random(20240611), CheckpointManager(folder, RUN)
    with serving(folder) as server:
        while toll.kills < sizes.kills:
            seed = chance.randrange(2**31)
            mode = MODES[toll.kills % len(MODES)]
            status = kill_one(server, Orders(seed, mode, forgetful=sizes.forgetful), toll, chance, sizes.longest_s)
            if status != -signal.SIGKILL:
                toll.broken.append(f"a victim ended by itself, with exit status {status}")
                break
            toll.kills += 1
            look(manager, toll)
        status = run_to_end(server, Orders(0, "group", samples=4 * WINDOW), toll)
        if status != 0:
            toll.broken.append(f"the last one, left alone, ended with exit status {status}")
    try:
        broken = [*toll.broken, *broken_promises(manager, toll)]
    except (CheckpointError, ValueError) as error:
        broken = [*toll.broken, f"the log cannot be read: {error}"]
    return Outcome(figures(manager, toll), notes=_notes(), broken=broken)


def kill_one(server: Server, orders: Orders, toll: Toll, chance: random.Random, longest_s: float) -> int:
    """Start a victim and kill it at a random moment: sometimes any moment, mostly one after it has opened the run."""
    pid = server.start(orders)
    while_opening = chance.random() < _DURING_OPEN
    opened = 0
    if not while_opening:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not opened and time.monotonic() < deadline_s and _alive(pid):
            opened = toll.hear(server.heard(0.05))
    span_s = 1.5 * statistics.median(toll.open_s or [longest_s]) if while_opening else longest_s
    moment_s = time.perf_counter() + chance.uniform(0, span_s)
    while (left_s := moment_s - time.perf_counter()) > 0:
        opened += toll.hear(server.heard(left_s))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    status = server.answer()
    while data := server.heard(0):
        opened += toll.hear(data)
    toll.kills_while_opening += not opened
    return status


def run_to_end(server: Server, orders: Orders, toll: Toll) -> int:
    """A victim that is spared; its exit status."""
    server.start(orders)
    while not server.has_answered():
        toll.hear(server.heard(0.01))
    status = server.answer()
    while data := server.heard(0):
        toll.hear(data)
    return status


def look(manager: CheckpointManager, toll: Toll) -> None:
    """What a death left on disk, before anybody repairs it, and what a reader makes of it."""
    layout = manager.layout
    if not layout.results.exists():
        return
    checkpoint, log_bytes = read_checkpoint(layout), layout.results.stat().st_size
    if checkpoint is None or checkpoint.log_offset_bytes > log_bytes:
        toll.unusable_checkpoints += log_bytes > 0
        toll.tail_bytes.append(log_bytes)
    else:
        toll.tail_bytes.append(log_bytes - checkpoint.log_offset_bytes)
        toll.unsynced_bytes.append(checkpoint.log_offset_bytes - checkpoint.synced_bytes)
    known = len(toll.attempts)
    try:
        found = manager.get_statistics().samples_processed
    except CheckpointError as error:
        toll.broken.append(f"after kill {toll.kills} a reader finds: {error}")
        return
    if not known <= found <= known + toll.kills * _RECORDS_AT_ONCE:
        toll.broken.append(f"after kill {toll.kills}: {known} samples were acknowledged, a reader counts {found}")


def broken_promises(manager: CheckpointManager, toll: Toll) -> list[str]:
    """Count the log with nothing of the store's own code, and compare."""
    rows = [_unsealed(line) for line in manager.layout.results.read_bytes().splitlines(keepends=True)]
    found = Counter((row["idx"], row["attempt"]) for row in rows)
    samples = Counter(row["idx"] for row in rows)
    lost = [idx for idx, attempt in toll.attempts.items() if not found[idx, attempt]]
    doubled = [idx for idx, times in samples.items() if times > 1]
    # A record that was written but not yet acknowledged when its writer died counts too: it is simply there.
    broken = [
        f"{len(group)} {words}, sample {group[0]} for one"
        for words, group in (
            ("acknowledged records are lost", lost),
            ("samples are in the log twice", doubled),
            ("samples were evaluated again after they had been acknowledged", toll.twice),
        )
        if group
    ]
    if sorted(samples) != list(range(len(samples))):
        broken.append("the samples are not 0, 1, 2, … without a gap")
    counted = _counted(rows)
    if (claimed := _claimed(manager)) != counted:
        broken.append(f"the statistics {claimed} are not those of the log, {counted}")
    manager.layout.checkpoint.unlink()
    if (claimed := _claimed(manager)) != counted:
        broken.append(f"without the checkpoint the statistics {claimed} are not those of the log, {counted}")
    return broken


def figures(manager: CheckpointManager, toll: Toll) -> list[Figure]:
    """The rows of the table."""
    return [
        Figure("kills", toll.kills, ""),
        Figure("kills before open() had returned", toll.kills_while_opening, ""),
        Figure("records acknowledged", len(toll.attempts), ""),
        Figure("torn lines, cut off by the next open()", _count(manager.layout.attempts, "*.torn-tail"), ""),
        Figure("checkpoints that could not be used: the whole log is read", toll.unusable_checkpoints, ""),
        *_spreads("read again at a recovery: log beyond the checkpoint", toll.tail_bytes, "bytes"),
        *_spreads("CRC checked at a recovery: log not known to be synced", toll.unsynced_bytes, "bytes"),
        *_spreads("time to recover: open()", [each * 1e3 for each in toll.open_s], "ms"),
        *_spreads("of the last tenth of the attempts: open()", [e * 1e3 for e in _last_tenth(toll.open_s)], "ms"),
    ]


def _spreads(name: str, values: list[int] | list[float], unit: str) -> list[Figure]:
    return [spread(name, values, unit)] if values else []


def _last_tenth(values: list[float]) -> list[float]:
    return values[-max(1, len(values) // 10) :] if values else []


def _notes() -> list[str]:
    return [f"\nModes in turns: {', '.join(MODES)}. Records of 150 to 9,150 bytes, 1 to {_RECORDS_AT_ONCE} at once."]


def _claimed(manager: CheckpointManager) -> Mapping[str, Any]:
    stats = manager.get_statistics()
    return {
        "samples": stats.samples_processed,
        "correct": stats.correct_count,
        "statuses": {name: times for name, times in stats.status_counts.items() if times},
    }


def _counted(rows: list[dict[str, Any]]) -> Mapping[str, Any]:
    return {
        "samples": len(rows),
        "correct": sum(row["is_correct"] for row in rows),
        "statuses": dict(Counter(row["status"] for row in rows)),
    }


def _unsealed(line: bytes) -> dict[str, Any]:
    body, _, crc = line.rpartition(b',"crc":"')
    if crc != b'%08x"}\n' % zlib.crc32(body):
        raise ValueError(f"a damaged line is left in the log: {line[:80]!r}")
    row: dict[str, Any] = json.loads(line)
    return row


def _count(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
