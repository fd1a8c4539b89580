"""One run from every side: what it is, how it stands, what has happened to it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from checkpoints import epoch
from checkpoints.agreement import format_ranges
from checkpoints.checkpoint import Ranges
from checkpoints.encoding import dump
from checkpoints.errors import RunNotFound
from checkpoints.identity import RunIdentity, fingerprint
from checkpoints.layout import RunLayout
from checkpoints.manager import CheckpointManager
from checkpoints.overview import RunRow, RunState, describe_run
from checkpoints.record import Record
from checkpoints.statistics import Statistics, describe


@dataclass(frozen=True)
class Attempt:
    """How an attempt began: when (seconds since the epoch), at which byte of the log, and who it was."""

    attempt: int
    started: float | None
    start_bytes: int
    pid: int | None
    host: str | None


@dataclass(frozen=True)
class RunView:
    """What can be said of a run without its records. `torn_tails` are names of files and their bytes.

    `torn_bytes` lie at the end of a log that nobody is writing now, and will be cut off when it is opened.
    """

    name: str
    path: str
    state: str
    fingerprint: str
    run_id: str
    created: float
    identity: Mapping[str, Any]
    provenance: Mapping[str, Any]
    statistics: Statistics
    last_update_time: float
    in_flight: Ranges
    crash_counts: Mapping[int, int]
    attempts: tuple[Attempt, ...]
    torn_tails: Mapping[str, int]
    torn_bytes: int

    def encode(self) -> bytes:
        """As JSON, for programs."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps(asdict(self), option=options)


def view(layout: RunLayout) -> RunView:
    """Look at a run; it may be live. Raises RunNotFound, CorruptRun, UnsupportedFormat, StorageFailed, OSError."""
    checkpoint = CheckpointManager(layout.root.parent, layout.root.name).load_checkpoint()
    if checkpoint is None:
        raise RunNotFound(layout.root)
    identity = RunIdentity.read(layout.run)
    row: RunRow = describe_run(layout.root)
    size_bytes = layout.results.stat().st_size if layout.results.exists() else checkpoint.log_offset_bytes
    return RunView(
        name=layout.root.name,
        path=str(layout.root),
        state=row.state.value,
        fingerprint=fingerprint(identity.identity),
        run_id=identity.run_id,
        created=identity.created,
        identity=identity.identity,
        provenance=identity.provenance,
        statistics=describe(checkpoint),
        last_update_time=checkpoint.last_update_time,
        in_flight=checkpoint.in_flight,
        crash_counts=checkpoint.crash_counts,
        attempts=tuple(_attempts(layout)),
        torn_tails={path.name: path.stat().st_size for path in sorted(layout.attempts.glob("*.torn-tail"))},
        torn_bytes=0 if row.state is RunState.RUNNING else size_bytes - checkpoint.log_offset_bytes,
    )


def _attempts(layout: RunLayout) -> Iterator[Attempt]:
    for each in epoch.read(layout, epoch.numbers(layout)):
        about = _about(layout.attempt(each.attempt))
        yield Attempt(each.attempt, about.get("started"), each.start_bytes, about.get("pid"), about.get("host"))


def _about(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(path.read_bytes())
    return value


def view_lines(run: RunView) -> Iterator[str]:
    """The view as text, a fact per line."""
    stats = run.statistics
    total = "?" if stats.total_samples is None else stats.total_samples
    yield f"{run.name}: {run.state}, {stats.samples_processed} of {total} samples"
    yield f"path         {run.path}"
    yield f"run id       {run.run_id}, created {_moment(run.created)}"
    yield f"fingerprint  {run.fingerprint}"
    yield from (f"identity     {line}" for line in _settings(run.identity))
    yield from (f"provenance   {line}" for line in _settings(run.provenance))
    if stats.accuracy is not None:
        yield f"accuracy     {stats.accuracy:.4f}, {stats.correct_count} correct" + _bounds(stats)
    yield from (f"score        {name}: {value:.4f}" for name, value in sorted(stats.scores.items()))
    yield from (f"status       {name}: {count}" for name, count in sorted(stats.status_counts.items()))
    yield f"updated      {_moment(run.last_update_time)}, {stats.elapsed_s:.1f} s at work"
    if run.in_flight:
        yield f"in flight    {format_ranges(run.in_flight)}"
    yield from (f"crashes      {count} while sample {idx} was in flight" for idx, count in run.crash_counts.items())
    for each in run.attempts:
        yield f"attempt      {each.attempt}: {_moment(each.started)}, at byte {each.start_bytes}{_writer(each)}"
    yield from (f"torn tail    {name}: {size} bytes" for name, size in run.torn_tails.items())
    if run.torn_bytes:
        yield f"torn tail    {run.torn_bytes} bytes at the end of the log, cut off when the run is next opened"


def _bounds(stats: Statistics) -> str:
    if not stats.errors or stats.accuracy_lower is None or stats.accuracy_upper is None:
        return ""
    return f"; {stats.accuracy_lower:.4f} to {stats.accuracy_upper:.4f} with the {stats.errors} errors"


def _writer(attempt: Attempt) -> str:
    return f", process {attempt.pid} on {attempt.host}" if attempt.pid is not None else ""


def _moment(seconds: float | None) -> str:
    return "?" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield printable(f"{prefix}{name}: {value}")


def record_line(record: Record) -> bytes:
    """The record as a line of JSON, for programs."""
    return dump(_values(record)) + b"\n"


def record_lines(record: Record) -> Iterator[str]:
    """The record as text: a heading, then a field per line, longer texts below their names."""
    verdict = record.status.value if record.status != "success" else "correct" if record.is_correct else "wrong"
    yield printable(f"sample {record.idx} {record.sample_id}: {verdict}")
    for name, value in _values(record).items():
        if name in {"idx", "sample_id", "status", "is_correct"}:
            continue
        text = printable(value if isinstance(value, str) else str(value))
        if "\n" in text:
            yield f"  {name}:"
            yield from (f"    | {line}" for line in text.split("\n"))
        else:
            yield f"  {name}: {text}"


def _values(record: Record) -> dict[str, Any]:
    named = {name: getattr(record, name) for name in Record.__slots__ if name != "extra"}
    attempt = named.pop("attempt")
    return {**named, **record.extra, "attempt": attempt}


def printable(text: str) -> str:
    """Without what would drive the terminal: a model may have written anything."""
    return "".join([each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text])
