"""One bit of a file turns: the numbers stay right, or an error says where. Never a wrong number, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checkpoints import (
    CheckpointError,
    CheckpointManager,
    CorruptRun,
    Durability,
    Record,
    Statistics,
    Status,
    UnsupportedFormat,
)
from tests.checkpoints.support import FakeTime
from tests.crash import oracle
from tests.crash.oracle import Row
from tests.crash.power_trace import files_below

TOTAL = 16
FIRST, SECOND = (0, 2, 1, 5, 4, 9), (3, 8, 6, 12)


@dataclass(frozen=True)
class Run:
    """The files of one run, and the rows of its log."""

    files: Mapping[str, bytes]
    rows: tuple[Row, ...]
    closed: bool

    def left(self, name: str, at: int) -> list[Row]:
        """What counts when a bit of this byte has turned: all, but for what was not known to be on the disk.

        Without the newline at its end the last line is a torn one, however long ago it was written.
        """
        last = at == len(self.files["r/results.jsonl"]) - 1
        lost = name == "r/results.jsonl" and (last or not self.closed)
        return [row for row in self.rows if not lost or row.end_bytes <= at]

    def after(self, name: str, at: int) -> dict[str, Any]:
        """What the statistics have to say then."""
        return numbers(self.left(name, at))


def numbers(rows: Iterable[Row]) -> dict[str, Any]:
    found = list(rows)
    scored = sum(row.values["status"] == "success" for row in found)
    sums: dict[str, float] = {}
    for row in found:
        for name, value in row.values["scores"].items():
            sums[name] = sums.get(name, 0.0) + value
    scores = {name: value / scored for name, value in sums.items()} if scored else {}
    return {**oracle.recount(found), "scores": scores, "total_samples": TOTAL}


def sample(idx: int) -> Record:
    if idx % 4 == 3:
        return Record(idx, f"s{idx}", status=Status.ERROR_TIMEOUT)
    return Record(idx, f"s{idx}" + "x" * 126, model_answer=idx, is_correct=idx % 2 == 0, scores={"f1": idx / 8})


@pytest.fixture(params=["closed", "killed"])
def run(request: pytest.FixtureRequest, fast_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in its second attempt: closed properly, or its machine lost while the last records were not synced."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    closed = request.param == "closed"
    manager = CheckpointManager(fast_path, "r", durability=Durability.process(), clock=FakeTime().clock)
    with manager.open(total_samples=TOTAL):
        manager.record(*map(sample, FIRST))
    with manager.open():
        # One bit less, and the second attempt seems to have begun amid the records of the first.
        assert (fast_path / "r/attempts/attempt-0002.json").read_bytes().count(b'"start_bytes":1816,')
        for idx in SECOND:
            manager.record(sample(idx))
        manager.begin([10])  # brings checkpoint.json up to date at once
        left = files_below(fast_path)
    files = files_below(fast_path) if closed else left
    return Run({**files, "r/run.lock": b""}, tuple(oracle.rows_of(fast_path / "r")), closed)


def _of_the_end(data: bytes) -> Iterator[tuple[int, int]]:
    """Every bit of the last three lines."""
    start = len(data) - sum(len(line) for line in data.splitlines(keepends=True)[-3:])
    return ((at, bit) for at in range(start, len(data)) for bit in range(8))


def _of_everything(data: bytes) -> Iterator[tuple[int, int]]:
    """Every bit; of the padding at the end one in each byte."""
    end = len(data.rstrip())
    yield from ((at, bit) for at in range(end) for bit in range(8))
    yield from ((at, at % 8) for at in range(end, len(data)))


FILES: dict[str, Callable[[bytes], Iterator[tuple[int, int]]]] = {
    "r/checkpoint.json": _of_everything,
    "r/results.jsonl": _of_the_end,
    "r/run.json": _of_everything,
    "r/attempts/attempt-0002.json": _of_everything,
}


@pytest.mark.parametrize("name", FILES)
def test_reading_a_run_of_which_one_bit_turned_gives_the_right_numbers_or_says_where(
    run: Run, fast_path: Path, name: str
) -> None:
    _write(fast_path, run.files)
    data = run.files[name]
    for at, bit in FILES[name](data):
        (fast_path / name).write_bytes(_turned(data, at, bit))
        _judge(run, name, at, bit, CheckpointManager(fast_path, "r").get_statistics)


@pytest.mark.parametrize("name", FILES)
def test_resuming_a_run_of_which_one_bit_turned_gives_the_right_numbers_or_says_where(
    run: Run, fast_path: Path, name: str
) -> None:
    def resumed() -> Statistics:
        with CheckpointManager(fast_path, "r").open() as manager:
            return manager.get_statistics()

    data = run.files[name]
    for at, bit in FILES[name](data):
        if bit == at % 8:
            _write(fast_path, {**run.files, name: _turned(data, at, bit)})
            _judge(run, name, at, bit, resumed)


@pytest.mark.parametrize("name", FILES)
def test_the_records_of_a_run_of_which_one_bit_turned_are_the_recorded_ones_or_an_error_says_where(
    run: Run, fast_path: Path, name: str
) -> None:
    _write(fast_path, run.files)
    data = run.files[name]
    for at, bit in FILES[name](data):
        (fast_path / name).write_bytes(_turned(data, at, bit))
        try:
            found = [(record.idx, record.attempt) for record in CheckpointManager(fast_path, "r").records()]
        except CheckpointError as error:
            _check_says_where(error, name)
            continue
        assert found == [(row.idx, row.attempt) for row in run.left(name, at)], (name, at, bit)


def _judge(run: Run, name: str, at: int, bit: int, read: Callable[[], Statistics]) -> None:
    """Only what the package raises on purpose may come; anything else fails the test with its traceback."""
    # The log replaces the checkpoint, and a machine that lost its power explains the torn tail of its log.
    must_do = name == "r/checkpoint.json" or (name == "r/results.jsonl" and not run.closed)
    try:
        statistics = dict(read())
    except CheckpointError as error:
        _check_says_where(error, name)
        if must_do:
            raise
        return
    expected = run.after(name, at)
    assert {each: statistics[each] for each in expected} == expected, (name, at, bit)


def _check_says_where(error: CheckpointError, name: str) -> None:
    assert isinstance(error, CorruptRun | UnsupportedFormat), error
    assert name in str(error)
    assert isinstance(error, UnsupportedFormat) or ("line" in str(error) and "byte" in str(error))


def _turned(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    """These files and no others."""
    for name in files_below(root).keys() - files.keys():
        (root / name).unlink()
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
