"""The store against a dictionary: whatever is done to a run, in whatever order, both say the same."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from checkpoints import Checkpoint, CheckpointManager, Durability, Record, RunLocked, RunMismatch, RunNotOpen, Status
from checkpoints.recovery import read_checkpoint
from tests.checkpoints.support import FakeTime

TOTAL = 6
MODES = {
    "process": Durability.process(),
    "group": Durability.group(),
    "small groups": Durability.group(2, 0.5),
    "strict": Durability.strict(),
}
CAUGHT_UP_WITHIN_S = 10.0

outcomes = st.tuples(
    st.sampled_from(Status),
    st.booleans(),
    st.dictionaries(st.sampled_from(["exact_match", "f1"]), st.sampled_from([0.1, 0.2, 1 / 3, 1e16, -1.0]), max_size=2),
)
batches = st.lists(
    st.tuples(st.integers(0, TOTAL - 1), outcomes), min_size=1, max_size=4, unique_by=lambda each: each[0]
)


@dataclass(frozen=True)
class Kept:
    """What checkpoint.json knows that the log does not."""

    attempt: int = 0
    in_flight: frozenset[int] = frozenset()
    crashes: dict[int, int] = field(default_factory=dict)
    of_run: int = 0


@dataclass
class Model:
    """A run, as simple as can be."""

    total: int | None
    number: int = 0  # of runs that were started over
    done: dict[int, tuple[int, Status, bool, dict[str, float]]] = field(default_factory=dict)  # in the log's order
    begun: int = 0  # attempts
    in_flight: set[int] = field(default_factory=set)
    crashes: dict[int, int] = field(default_factory=dict)
    on_disk: Kept = field(default_factory=Kept)

    @property
    def finished(self) -> bool:
        return self.total is not None and len(self.done) >= self.total

    @property
    def attempt_on_disk(self) -> int:
        """What is known of the attempts by the checkpoint and the records."""
        return max([self.on_disk.attempt, *[attempt for attempt, *_ in self.done.values()]])

    def add(self, attempt: int, records: list[Record]) -> None:
        for each in records:
            self.done[each.idx] = (attempt, each.status, each.is_correct, dict(each.scores))
            self.in_flight.discard(each.idx)
            self.crashes.pop(each.idx, None)

    def write(self, attempt: int) -> None:
        self.on_disk = Kept(attempt, frozenset(self.in_flight), dict(self.crashes), self.number)

    def open(self) -> None:
        if self.finished:
            self.on_disk = Kept(self.attempt_on_disk, of_run=self.number)
            self.in_flight, self.crashes = set(), {}
            return
        died_with = Counter(self.on_disk.crashes) + Counter(self.on_disk.in_flight)
        self.crashes = {idx: count for idx, count in died_with.items() if idx not in self.done}
        self.in_flight = set()
        self.begun += 1
        self.write(self.begun)

    def counts(self) -> dict[str, object]:
        """What statistics and checkpoints have to say."""
        rows = list(self.done.values())
        statuses = Counter(status.value for _, status, _, _ in rows)
        correct = sum(is_correct for _, _, is_correct, _ in rows)
        sums: dict[str, float] = {}
        for *_, scores in rows:
            for name, value in scores.items():
                sums[name] = sums.get(name, 0.0) + value
        scored = statuses["success"]
        watermark = next(idx for idx in range(-1, TOTAL + 1) if idx + 1 not in self.done)
        return {
            "samples_processed": len(rows),
            "correct_count": correct,
            "accuracy": correct / scored if scored else None,
            "status_counts": dict(statuses),
            "score_sums": sums,
            "last_completed_idx": watermark,
            "total_samples": self.total,
        }


def counts_of(checkpoint: Checkpoint) -> dict[str, object]:
    names = ("samples_processed", "correct_count", "accuracy", "last_completed_idx", "total_samples")
    maps = {"status_counts": dict(checkpoint.status_counts), "score_sums": dict(checkpoint.score_sums)}
    return {name: getattr(checkpoint, name) for name in names} | maps


def records_of(batch: list[tuple[int, tuple[Status, bool, dict[str, float]]]]) -> list[Record]:
    return [
        Record(idx, f"s{idx}", status, is_correct=correct and status is Status.SUCCESS, scores=scores)
        for idx, (status, correct, scores) in batch
    ]


class RunLife(RuleBasedStateMachine):
    """One run through opens, records, deaths and damaged checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="run-life-"))
        self.lives = 0
        self.time = FakeTime()
        self.manager: CheckpointManager | None = None
        self.earlier: list[tuple[bytes, Kept]] = []  # checkpoints of the past

    @initialize(bounded=st.booleans())
    def start(self, bounded: bool) -> None:
        self.model = Model(TOTAL if bounded else None)
        self.resume("group")

    def teardown(self) -> None:
        if self.manager is not None:
            self.manager.close()
        shutil.rmtree(self.folder)

    @property
    def place(self) -> Path:
        """Where the run lies in this life: the dead may still hold a lock on where it lay before."""
        return self.folder / str(self.lives)

    def reader(self) -> CheckpointManager:
        return CheckpointManager(self.place, "r")

    @property
    def open_manager(self) -> CheckpointManager:
        assert self.manager is not None
        return self.manager

    # What its owner does

    @precondition(lambda self: self.manager is None)
    @rule(mode=st.sampled_from(sorted(MODES)))
    def resume(self, mode: str) -> None:
        self.manager = CheckpointManager(self.place, "r", durability=MODES[mode], clock=self.time.clock)
        self.manager.open(total_samples=self.model.total, identity={"model": "m"})
        self.model.open()

    @precondition(lambda self: self.manager is None)
    @rule()
    def start_over(self) -> None:
        before = [(each.idx, each.attempt) for each in self.reader().records()]
        self.time.advance(1)
        self.manager = CheckpointManager(self.place, "r", clock=self.time.clock)
        self.manager.open(total_samples=self.model.total, identity={"model": "m"}, restart=True)
        newest = max(self.place.glob("r.replaced-*")).name
        assert [(each.idx, each.attempt) for each in CheckpointManager(self.place, newest).records()] == before
        self.model = Model(self.model.total, self.model.number + 1)
        self.model.open()

    @precondition(lambda self: self.manager is not None and not self.model.finished)
    @rule(idxs=st.sets(st.integers(0, TOTAL - 1), max_size=4))
    def begin(self, idxs: set[int]) -> None:
        self.open_manager.begin(idxs)
        self.model.in_flight = idxs - self.model.done.keys()
        self.model.write(self.model.begun)

    @precondition(lambda self: self.manager is not None and not self.model.finished)
    @rule(batch=batches)
    def record(self, batch: list[tuple[int, tuple[Status, bool, dict[str, float]]]]) -> None:
        records = [each for each in records_of(batch) if each.idx not in self.model.done]
        self.open_manager.record(*records)
        self.model.add(self.model.begun, records)
        self.model.write(self.model.begun)

    @precondition(lambda self: self.manager is not None)
    @rule(batch=batches, at=st.integers(0, 4), how=st.sampled_from(["again", "twice", "beyond", "negative"]))
    def record_what_cannot_be(
        self, batch: list[tuple[int, tuple[Status, bool, dict[str, float]]]], at: int, how: str
    ) -> None:
        records = [each for each in records_of(batch) if each.idx not in self.model.done]
        wrong = {
            "again": next(iter(self.model.done), None),
            "twice": records[0].idx if records else None,
            "beyond": self.model.total,
            "negative": -1,
        }[how]
        if wrong is None:
            return
        log = self.reader().layout.results.read_bytes()
        with pytest.raises(ValueError, match=r"recorded|at least 0|beyond"):
            self.open_manager.record(*records[:at], Record(wrong), *records[at:])
        assert self.reader().layout.results.read_bytes() == log

    @precondition(lambda self: self.manager is not None and not self.model.finished)
    @rule()
    def commit(self) -> None:
        self.open_manager.commit()

    @precondition(lambda self: self.manager is not None)
    @rule()
    def close(self) -> None:
        closed, self.manager = self.open_manager, None
        closed.close()
        self.model.in_flight = set()
        self.model.write(self.model.attempt_on_disk if self.model.finished else self.model.begun)
        with pytest.raises(RunNotOpen):
            closed.record(Record(0))

    @rule(seconds=st.sampled_from([0.002, 0.6, 31.0]))
    def wait(self, seconds: float) -> None:
        self.time.advance(seconds)

    # What happens to it

    @precondition(lambda self: self.manager is not None)
    @rule(
        idxs=st.sets(st.integers(0, TOTAL - 1), max_size=3),
        batch=batches,
        part=st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    )
    def die(self, idxs: set[int], batch: list[tuple[int, tuple[Status, bool, dict[str, float]]]], part: float) -> None:
        """While recording: a part of what was handed over, in bytes, has reached the kernel."""
        records = [each for each in records_of(batch) if each.idx not in self.model.done]
        if idxs and not self.model.finished:
            self.begin(idxs)
        dead, place = self.open_manager, self.place
        self.lives += 1
        shutil.copytree(place, self.place)
        self.manager = None
        dead.close()
        shutil.rmtree(place)
        if self.model.finished:
            return
        lines = [each.encode(self.time.clock.wall(), self.model.begun) for each in records]
        cut = math.floor(sum(map(len, lines)) * part)
        with self.reader().layout.results.open("ab") as log:
            log.write(b"".join(lines)[:cut])
        whole = [each for at, each in enumerate(records) if sum(map(len, lines[: at + 1])) <= cut]
        known = self.model.on_disk
        self.model.add(self.model.begun, whole)
        self.model.on_disk = known

    @precondition(lambda self: self.manager is None)
    @rule(position=st.none() | st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def lose_the_checkpoint(self, position: float | None, bit: int) -> None:
        path = self.reader().layout.checkpoint
        if position is None:
            path.unlink(missing_ok=True)
        elif read_checkpoint(self.reader().layout) is not None:  # the same bit flipped back would mend it
            data = bytearray(path.read_bytes())
            data[int(len(data) * position)] ^= 1 << bit
            path.write_bytes(data)
        self.model.on_disk = Kept()

    @precondition(lambda self: self.manager is not None)
    @rule()
    def remember_the_checkpoint(self) -> None:
        self.check_caught_up()
        data = self.reader().layout.checkpoint.read_bytes()
        self.earlier.append((data, self.model.on_disk))

    @precondition(lambda self: self.manager is None and self.earlier)
    @rule(data=st.data())
    def put_an_older_checkpoint_back(self, data: st.DataObject) -> None:
        content, kept = data.draw(st.sampled_from(self.earlier))
        self.reader().layout.checkpoint.write_bytes(content)
        self.model.on_disk = kept if kept.of_run == self.model.number else Kept()

    # What others see

    @rule()
    def be_refused(self) -> None:
        other = CheckpointManager(self.place, "r", clock=self.time.clock)
        if self.manager is not None:
            with pytest.raises(RunLocked):
                other.open()
        else:
            with pytest.raises(RunMismatch):
                other.open(total_samples=TOTAL + 1)

    @invariant()
    def the_reader_sees_what_was_recorded(self) -> None:
        reader, model = self.reader(), self.model
        found = [
            (each.idx, (each.attempt, each.status, each.is_correct, dict(each.scores))) for each in reader.records()
        ]
        assert found == list(model.done.items())
        checkpoint = reader.load_checkpoint()
        assert checkpoint is not None
        assert counts_of(checkpoint) == model.counts()
        statistics = reader.get_statistics()
        assert (statistics.samples_processed, statistics.finished) == (len(model.done), model.finished)
        assert statistics.errors == sum(status is not Status.SUCCESS for _, status, _, _ in model.done.values())
        assert statistics.attempts == model.attempt_on_disk

    @invariant()
    def the_writer_knows_what_was_recorded(self) -> None:
        if self.manager is None:
            return
        done = {idx for idx in range(-1, TOTAL + 1) if self.manager.is_completed(idx)}
        assert done == self.model.done.keys()
        assert self.manager.attempt == self.model.attempt_on_disk
        assert self.manager.crash_counts == self.model.crashes
        mine = self.manager.load_checkpoint()
        assert mine is not None
        assert counts_of(mine) == self.model.counts()

    @invariant()
    def check_caught_up(self) -> None:
        """Soon after the last call the file alone says it all."""
        if self.manager is None:
            return
        layout, patience_s = self.reader().layout, time.monotonic() + CAUGHT_UP_WITHIN_S
        while (stored := read_checkpoint(layout)) is None or stored.samples_processed != len(self.model.done):
            assert time.monotonic() < patience_s, "checkpoint.json lags behind"
            time.sleep(0.001)
        current = self.manager.load_checkpoint()
        assert current is not None
        assert counts_of(stored) == counts_of(current)
        assert (stored.attempt, stored.log_offset_bytes) == (current.attempt, current.log_offset_bytes)
        assert (stored.in_flight, stored.crash_counts) == (current.in_flight, current.crash_counts)
        assert stored.log_offset_bytes == layout.results.stat().st_size
        if not self.model.finished:
            begun = {idx for first, last in stored.in_flight for idx in range(first, last + 1)}
            assert (begun, dict(stored.crash_counts)) == (self.model.in_flight, self.model.crashes)


RunLife.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_a_run_is_what_a_dictionary_says = pytest.mark.timeout(170)(RunLife.TestCase)


def test_a_sample_that_was_recorded_after_all_is_no_longer_suspected(tmp_path: Path) -> None:
    """Its attempt died between the record and the checkpoint; two deaths are rare in what is drawn above."""
    manager = CheckpointManager(tmp_path, "r").open(total_samples=3)
    manager.begin([1, 2])
    died_with = manager.layout.checkpoint.read_bytes()
    manager.close()
    manager.layout.checkpoint.write_bytes(died_with)
    manager.open()
    assert manager.crash_counts == {1: 1, 2: 1}
    died_with = manager.layout.checkpoint.read_bytes()
    manager.record(Record(1))
    manager.close()
    manager.layout.checkpoint.write_bytes(died_with)
    with manager.open():
        assert manager.crash_counts == {2: 1}
