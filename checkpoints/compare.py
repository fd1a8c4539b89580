"""Is this run what another one is? A killed and resumed run must equal one that was never interrupted."""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from checkpoints.agreement import format_ranges, subtract
from checkpoints.encoding import unseal
from checkpoints.identity import RunIdentity, differences
from checkpoints.layout import RunLayout
from checkpoints.log import open_log
from checkpoints.progress import Progress
from checkpoints.report import Finding, Findings, Kind
from checkpoints.verdict import Fate, verdicts

_MAY_DIFFER = {"timestamp", "attempt"}  # the checksum differs with them
_ABSENT = "(not there)"


def compare(one: RunLayout, other: RunLayout) -> tuple[Finding, ...]:
    """Where the records of two runs differ, whatever their order; the first hundred differences.

    Only the position of each record of the other run is kept in memory, 8 bytes a sample.
    Raises CorruptRun, UnsupportedFormat, OSError.
    """
    found = Findings()
    mine, theirs = RunIdentity.read(one.run), RunIdentity.read(other.run)
    for difference in differences(mine.identity, theirs.identity):
        what = f"{difference.field} is {difference.stored!r}, in {other.root.name} {difference.given!r}"
        found.add(Kind.DIFFERENCE, one.run.name, what)
    if mine.total_samples != theirs.total_samples:
        what = f"total_samples is {mine.total_samples}, in {other.root.name} {theirs.total_samples}"
        found.add(Kind.DIFFERENCE, one.run.name, what)
    if not found.kept:  # else every record may differ, and nothing would follow from it
        _compare_records(one, other, mine.total_samples, found)
    return tuple(found.kept)


def _compare_records(one: RunLayout, other: RunLayout, total: int | None, found: Findings) -> None:
    there, here = Progress(), Progress()
    starts = _index(other, total, there)
    with _seekable(other) as theirs, _lines(one) as mine:
        for verdict in verdicts(one, total, here):
            if verdict.unreadable:
                break
            line, record = mine.readline(), verdict.entry.record
            if verdict.fate is not Fate.KEPT or record is None or (at := starts[record.idx]) < 0:
                continue
            theirs.seek(at)
            where = f"{one.results.name}, line {verdict.line}, byte {verdict.entry.start_bytes}"
            for what in unlike(unseal(line), unseal(theirs.readline())):
                found.add(Kind.DIFFERENCE, where, f"sample {record.idx}: {what}")
    for name, some, others in ((one.root.name, here, there), (other.root.name, there, here)):
        only = list(subtract(some.completed.ranges(), others.completed.ranges()))
        if only:
            found.add(Kind.DIFFERENCE, one.results.name, f"only {name} has records of {format_ranges(only)}")


def unlike(mine: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """Name each field of a record that is not the same; its time and attempt may differ."""
    for name in sorted({*mine, *theirs} - _MAY_DIFFER):
        one, other = mine.get(name, _ABSENT), theirs.get(name, _ABSENT)
        if one != other or type(one) is not type(other):
            yield f"{name} is {_short(one)}, in the other run {_short(other)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _index(layout: RunLayout, total: int | None, progress: Progress) -> array[int] | defaultdict[int, int]:
    """Where the record of each sample begins, -1 where there is none."""
    starts: array[int] | defaultdict[int, int] = array("q", [-1]) * total if total is not None else defaultdict(_none)
    for verdict in verdicts(layout, total, progress):
        if verdict.fate is Fate.KEPT and verdict.entry.record is not None:
            starts[verdict.entry.record.idx] = verdict.entry.start_bytes
    return starts


def _none() -> int:
    return -1


@contextmanager
def _lines(layout: RunLayout) -> Iterator[IO[bytes]]:
    """The log; an empty file when there is none."""
    try:
        file = open_log(layout.results)
    except FileNotFoundError:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    with file:
        yield file


@contextmanager
def _seekable(layout: RunLayout) -> Iterator[IO[bytes]]:
    """The log; a compressed one is unpacked into an unnamed temporary file, since going back in it takes forever."""
    with _lines(layout) as file:
        if layout.results.exists() or not layout.compressed.exists():
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked)
            yield unpacked
