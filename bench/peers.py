"""What a sample costs elsewhere: the same payload in several stores, at several sizes, in turns.

A result is built and encoded inside the measured time, in every store but the bare ones. A resume opens the store
and finds out which samples are done, after an orderly end, from the page cache.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.figures import Figure, Outcome, number, table
from bench.measure import interleave, ratio, seconds_each, spread
from bench.stores import BareFile, GrowingJson, MakeStore, Ours, Sqlite, Sqlitedict, Store
from checkpoints import Durability

_FILL_AT_ONCE = 1000


@dataclass(frozen=True)
class Sizes:
    """Numbers of results already there; rounds of adding samples, and how many at a time in stores that sync and in
    the others; rounds of resuming.
    """

    results: Sequence[int]
    rounds: int
    resumes: int
    synced_block: int
    block: int


@dataclass(frozen=True)
class Peer:
    """A store, whether it syncs every sample, and what the death of the process or of the machine can cost."""

    name: str
    make: MakeStore
    process_death: str
    power_loss: str
    syncs: bool = False
    block: int = 0  # samples per round, 0 for the usual number


WRITE = "bare write"
SYNC = "bare write + fdatasync"
_WINDOW = "what the kernel had not written yet"
_EVERYTHING = "everything, where a rename does not wait for the data"

PEERS = (
    Peer(WRITE, partial(BareFile, sync=False), "a torn last line", _WINDOW),
    Peer(SYNC, partial(BareFile, sync=True), "a torn last line", "a torn last line", syncs=True),
    Peer("one growing JSON file, no fsync", GrowingJson, "nothing", _EVERYTHING, block=1),
    Peer("sqlite3, WAL, synchronous=NORMAL", partial(Sqlite, synchronous="NORMAL"), "nothing", _WINDOW),
    Peer("sqlite3, WAL, synchronous=FULL", partial(Sqlite, synchronous="FULL"), "nothing", "nothing", syncs=True),
    Peer("sqlitedict, as lm-eval --use_cache", Sqlitedict, "nothing", "the last commit", syncs=True),
    Peer("ours, process", partial(Ours, durability=Durability.process()), "nothing", f"{_WINDOW} (30 s at most)"),
    Peer(
        "ours, group (default)", partial(Ours, durability=Durability.group()), "nothing",
        "64 records or 1 s, evaluated again",
    ),
    Peer("ours, strict", partial(Ours, durability=Durability.strict()), "nothing", "nothing", syncs=True),
)  # fmt: skip


@dataclass
class Contender:
    """A peer's store in a folder of its own."""

    peer: Peer
    folder: Path
    block: int
    results: int
    store: Store | None = None

    def prepare(self) -> None:
        """Fill the store, then leave it, so that what follows is a resume."""
        self.folder.mkdir(parents=True)
        store = self.peer.make(self.folder)
        step = self.results if self.peer.block else _FILL_AT_ONCE
        for start in range(0, self.results, step):
            store.fill(range(start, min(start + step, self.results)))
        store.close()

    def resume(self) -> float:
        """Open the store and learn what is done: the seconds that takes. Left open for `add`."""
        self.leave()
        begun_s = time.perf_counter()
        self.store = self.peer.make(self.folder)
        return time.perf_counter() - begun_s

    def add(self) -> float:
        """A block of samples: the seconds for each."""
        assert self.store is not None
        self.store.done += self.block
        return seconds_each(self.store.add, range(self.store.done - self.block, self.store.done))

    def leave(self) -> None:
        """Close the store if it is open."""
        if self.store is not None:
            self.store.close()
        self.store = None


@dataclass(frozen=True)
class Measured:
    """One size: seconds per sample and per resume, of every round, by the peer's name."""

    add_s: Mapping[str, Sequence[float]]
    resume_s: Mapping[str, Sequence[float]]


def measure(folder: Path, sizes: Sizes) -> Outcome:
    """The table, its figures, and who was left out."""
    present = [peer for peer in PEERS if peer.make is not Sqlitedict or importlib.util.find_spec("sqlitedict")]
    notes = [
        f"\n{peer.name}: skipped, its package is not installed (pip install sqlitedict)"
        for peer in PEERS
        if peer not in present
    ]
    measured = {results: at_size(folder / str(results), present, results, sizes) for results in sizes.results}
    figures = [figure for results, each in measured.items() for figure in _figures(results, each)]
    return Outcome(figures, table(_heads(sizes.results), [_row(peer, measured) for peer in present]), notes)


def at_size(folder: Path, peers: Sequence[Peer], results: int, sizes: Sizes) -> Measured:
    """Every peer with so many results on disk."""
    contenders = {}
    for number_, peer in enumerate(peers):
        block = peer.block or (sizes.synced_block if peer.syncs else sizes.block)
        contenders[peer.name] = Contender(peer, folder / str(number_), block, results)
        contenders[peer.name].prepare()
    resume_s = interleave({name: each.resume for name, each in contenders.items()}, sizes.resumes)
    add_s = interleave({name: each.add for name, each in contenders.items()}, sizes.rounds)
    for each in contenders.values():
        each.leave()
    return Measured(add_s, resume_s)


def _figures(results: int, measured: Measured) -> list[Figure]:
    figures = []
    for name, seconds in measured.add_s.items():
        at = f"{name}, {results:,} results"
        figures += [
            spread(f"{at}: per sample", [each * 1e6 for each in seconds], "µs"),
            ratio(f"{at}: per sample / bare write", seconds, measured.add_s[WRITE]),
            ratio(f"{at}: per sample / bare write + fdatasync", seconds, measured.add_s[SYNC]),
            spread(f"{at}: resume", [each * 1e3 for each in measured.resume_s[name]], "ms"),
        ]
    return figures


def _heads(results: Sequence[int]) -> list[str]:
    at = " / ".join(f"{each // 1000}k" if each >= 1000 else str(each) for each in results)
    return [
        f"store, holding {at} results", "µs per sample", "x bare write", "x bare write + fdatasync",
        "ms to resume", "killed process: can cost", "power loss: can cost",
    ]  # fmt: skip


def _row(peer: Peer, measured: Mapping[int, Measured]) -> list[str]:
    sizes = list(measured.values())
    return [
        peer.name,
        " / ".join(number(statistics.median(each.add_s[peer.name]) * 1e6) for each in sizes),
        *[
            " / ".join(number(ratio("", each.add_s[peer.name], each.add_s[base]).value) for each in sizes)
            for base in (WRITE, SYNC)
        ],
        " / ".join(number(statistics.median(each.resume_s[peer.name]) * 1e3) for each in sizes),
        peer.process_death,
        peer.power_loss,
    ]
