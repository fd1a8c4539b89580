"""What it costs to record a sample, against the bare system calls that the same durability needs.

Each round times a block of every contender in turn, on the same lines and the same file system. The records are
built beforehand, unless the row says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.figures import Figure, Outcome, Target
from bench.measure import interleave, ratio, seconds_each, seconds_each_apart, spread
from bench.payload import sample
from checkpoints import CheckpointManager, Durability

GROUP_RECORDS = 64
PAUSE_S = 100e-6
_FILL_AT_ONCE = 64
_TOGETHER = 8


@dataclass(frozen=True)
class Sizes:
    """How much is measured: rounds, records per block, syncs per block, and the length of a long run."""

    rounds: int
    block: int
    syncs: int
    long_run: int


@dataclass
class Ours:
    """record() on a run of its own, one record or several at a time."""

    manager: CheckpointManager
    block: int
    together: int = 1
    next_idx: int = 0

    def take(self, count: int) -> range:
        """The indices of the next samples."""
        self.next_idx += count
        return range(self.next_idx - count, self.next_idx)

    def __call__(self) -> float:
        """Record one block."""
        batches = [[sample(idx) for idx in self.take(self.together)] for _ in range(self.block // self.together)]
        if self.together == 1:
            return seconds_each(self.manager.record, [batch[0] for batch in batches])
        return seconds_each(lambda batch: self.manager.record(*batch), batches) / self.together

    def building(self) -> float:
        """The same with the building of each Record, its dicts included."""
        return seconds_each(lambda idx: self.manager.record(sample(idx)), self.take(self.block))

    def apart(self) -> float:
        """One record at a time, none on the heels of another."""
        return seconds_each_apart(self.manager.record, [sample(idx) for idx in self.take(self.block // 4)], PAUSE_S)

    def fill(self, count: int) -> None:
        """Record that many without measuring."""
        for _ in range(0, count, _FILL_AT_ONCE):
            self.manager.record(*[sample(idx) for idx in self.take(_FILL_AT_ONCE)])


@dataclass
class Bare:
    """write(2) of the same lines, and fdatasync after every so many (0: never)."""

    path: Path
    block: int
    sync_every: int = 0
    next_idx: int = 0
    descriptor: int = field(init=False)

    def __post_init__(self) -> None:
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def __call__(self) -> float:
        """Write one block."""
        lines = [sample(idx).encode() for idx in range(self.next_idx, self.next_idx + self.block)]
        self.next_idx += self.block
        if not self.sync_every:
            return seconds_each(partial(os.write, self.descriptor), lines)
        groups = [lines[at : at + self.sync_every] for at in range(0, len(lines), self.sync_every)]
        return seconds_each(self._write_and_sync, groups) / self.sync_every

    def apart(self) -> float:
        """One line at a time, none on the heels of another."""
        lines = [sample(idx).encode() for idx in range(self.block // 4)]
        return seconds_each_apart(partial(os.write, self.descriptor), lines, PAUSE_S)

    def _write_and_sync(self, lines: list[bytes]) -> None:
        for line in lines:
            os.write(self.descriptor, line)
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def measure(folder: Path, sizes: Sizes) -> Outcome:
    """All rows of the table."""
    figures = [
        *unsynced(folder, sizes),
        *synced(folder, Durability.group(records=GROUP_RECORDS), GROUP_RECORDS, sizes, Target(1.5)),
        *synced(folder, Durability.strict(), 1, sizes, Target(1.2)),
        *flatness(folder, sizes),
    ]
    notes = [
        f"\nA line is {len(sample(0).encode())} bytes long. `group`: a bare loop that calls fdatasync after every "
        f"{GROUP_RECORDS} lines; `strict`: after each line."
    ]
    return Outcome(figures, notes=notes)


def unsynced(folder: Path, sizes: Sizes) -> list[Figure]:
    """`process` mode against os.write of the same line."""
    bare = Bare(folder / "bare.jsonl", sizes.block)
    with opened(folder, "process", Durability.process()) as one, opened(folder, "eight", Durability.process()) as eight:
        ours = Ours(one, sizes.block)
        seconds = interleave(
            {
                "bare": bare,
                "ours": ours,
                "bare apart": bare.apart,
                "ours apart": ours.apart,
                "built": ours.building,
                "eight": Ours(eight, sizes.block // _TOGETHER * _TOGETHER, _TOGETHER),
            },
            sizes.rounds,
        )
    bare.close()
    apart = f"{PAUSE_S * 1e6:.0f} µs apart"
    return [
        _microseconds("bare os.write of a line", seconds["bare"]),
        _microseconds("process: record()", seconds["ours"]),
        ratio("process: record() / bare write", seconds["ours"], seconds["bare"], Target(4)),
        _microseconds(f"process: record(), {apart}", seconds["ours apart"]),
        ratio(f"process: record() / bare write, both {apart}", seconds["ours apart"], seconds["bare apart"]),
        ratio("process: Record(...) and record() / bare write", seconds["built"], seconds["bare"]),
        ratio(f"process: record() of {_TOGETHER}, each / bare write", seconds["eight"], seconds["bare"]),
    ]


def synced(folder: Path, durability: Durability, every: int, sizes: Sizes, target: Target) -> list[Figure]:
    """A mode that syncs against a bare loop that syncs as often."""
    name, block = durability.name, sizes.syncs * every
    bare = Bare(folder / f"bare-{name}.jsonl", block, every)
    with opened(folder, name, durability) as manager:
        seconds = interleave({"bare": bare, "ours": Ours(manager, block)}, sizes.rounds)
    bare.close()
    return [
        _microseconds(f"{name}: bare write and fdatasync", seconds["bare"]),
        _microseconds(f"{name}: record()", seconds["ours"]),
        ratio(f"{name}: record() / bare", seconds["ours"], seconds["bare"], target),
    ]


def flatness(folder: Path, sizes: Sizes) -> list[Figure]:
    """A run that holds many records already, in turns with one that holds few."""
    with opened(folder, "old", Durability.process()) as old, opened(folder, "young", Durability.process()) as young:
        aged = Ours(old, sizes.block)
        aged.fill(sizes.long_run)
        seconds = interleave({"young": Ours(young, sizes.block), "old": aged}, sizes.rounds)
    name = f"process: record() after {sizes.long_run:,} records / after none"
    return [ratio(name, seconds["old"], seconds["young"], Target(1.1))]


def opened(folder: Path, name: str, durability: Durability) -> CheckpointManager:
    """A new run."""
    return CheckpointManager(folder, name, durability=durability).open()


def _microseconds(name: str, seconds: Sequence[float]) -> Figure:
    return spread(name, [each * 1e6 for each in seconds], "µs")
