"""Whether a run kept what it promised, judged by its files alone: json and zlib, none of the package's code."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Violated(AssertionError):
    """The store broke a promise."""


@dataclass(frozen=True)
class Row:
    """One line of the log that its checksum vouches for. `end_bytes` is the offset after its newline."""

    idx: int
    attempt: int
    start_bytes: int
    end_bytes: int
    values: Mapping[str, Any]


def unsealed(line: bytes) -> dict[str, Any] | None:
    """The object on a sealed line, padded or not; None for anything else."""
    body, _, crc = line.rpartition(b',"crc":"')
    if not line.endswith(b"\n") or crc.rstrip() != b'%08x"}' % zlib.crc32(body):
        return None
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


def log_bytes(run: Path) -> bytes:
    """The results, compressed since or not."""
    plain = run / "results.jsonl"
    if not plain.exists() and plain.with_suffix(".jsonl.gz").exists():
        return gzip.decompress(plain.with_suffix(".jsonl.gz").read_bytes())
    return plain.read_bytes() if plain.exists() else b""


def valid_rows(run: Path) -> list[Row]:
    """Every undamaged line, wherever it stands, those of a writer that has lost its run included."""
    found, start_bytes = [], 0
    for line in log_bytes(run).splitlines(keepends=True):
        end_bytes = start_bytes + len(line)
        if values := unsealed(line):
            found.append(Row(values["idx"], values["attempt"], start_bytes, end_bytes, values))
        start_bytes = end_bytes
    return found


def attempt_starts(run: Path) -> dict[int, int]:
    """Where in the log each attempt began."""
    starts = {}
    for path in (run / "attempts").glob("attempt-*.json"):
        value = json.loads(path.read_bytes())
        if "start_bytes" in value:
            starts[int(value["attempt"])] = int(value["start_bytes"])
    return starts


def rows_of(run: Path) -> list[Row]:
    """The lines that count: an attempt's records end where a later attempt began."""
    starts = attempt_starts(run)
    return [
        row
        for row in valid_rows(run)
        if not any(attempt > row.attempt and start <= row.start_bytes for attempt, start in starts.items())
    ]


def recount(rows: Iterable[Row]) -> dict[str, Any]:
    """The statistics that these rows amount to."""
    values = [row.values for row in rows]
    scored = sum(value["status"] == "success" for value in values)
    correct = sum(value["is_correct"] for value in values)
    return {
        "samples_processed": len(values),
        "correct_count": correct,
        "errors": len(values) - scored,
        "accuracy": correct / scored if scored else None,
        "status_counts": dict(Counter(value["status"] for value in values)),
    }


def check_survived(run: Path, acknowledged: Mapping[int, int]) -> None:
    """Every acknowledged record is there, written by the attempt that acknowledged it: not merely evaluated again."""
    kept = {(row.idx, row.attempt) for row in rows_of(run)}
    if lost := sorted(set(acknowledged.items()) - kept):
        raise Violated(f"{run}: acknowledged, but not there (idx, attempt): {lost}")


def check_once(run: Path) -> None:
    """No sample counts twice, and each row is whole."""
    if twice := [idx for idx, count in Counter(row.idx for row in rows_of(run)).items() if count > 1]:
        raise Violated(f"{run}: recorded twice: {twice}")


def check_statistics(run: Path, statistics: Mapping[str, Any]) -> None:
    """What get_statistics() says is what the log amounts to."""
    for name, value in recount(rows_of(run)).items():
        if statistics[name] != value:
            raise Violated(f"{run}: the statistics say {name} = {statistics[name]!r}, the log says {value!r}")


def check_checkpoint(run: Path, *, current: bool = True, numbers_only: bool = False) -> None:
    """checkpoint.json agrees with the log: all of it when `current`, else the part up to its own offset.

    With `numbers_only` that offset may be wrong: a writer does not know what another one appended meanwhile.
    """
    value = unsealed((run / "checkpoint.json").read_bytes())
    if value is None:
        raise Violated(f"{run}: checkpoint.json is damaged")
    size = len(log_bytes(run))
    offset = size if numbers_only else value["log_offset_bytes"]
    if offset > size or (current and offset != size):
        raise Violated(f"{run}: the checkpoint counts {offset} bytes of {size}")
    rows = [row for row in rows_of(run) if row.end_bytes <= offset]
    expected = {name: found for name, found in recount(rows).items() if name != "errors"}
    found = {name: value[name] for name in expected}
    if found != expected:
        raise Violated(f"{run}: the checkpoint says {found}, the log says {expected}")
    if _done(value) != {row.idx for row in rows}:
        raise Violated(f"{run}: the checkpoint's set of completed samples is not the log's")
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row.values.get("scores", {}))
    if sums.keys() != value["score_sums"].keys() or not all(
        math.isclose(value["score_sums"][name], total) for name, total in sums.items()
    ):
        raise Violated(f"{run}: the checkpoint's score sums {value['score_sums']} are not {dict(sums)}")


def check_finished(
    run: Path,
    total: int,
    acknowledged: Mapping[int, int],
    statistics: Mapping[str, Any],
    *,
    numbers_only: bool = False,
) -> None:
    """After resuming to the end: 0..n-1 once each, nothing acknowledged lost, every number right, no bad bytes.

    `numbers_only` as check_checkpoint().
    """
    check_survived(run, acknowledged)
    check_once(run)
    found = sorted(row.idx for row in rows_of(run))
    if found != list(range(total)):
        missing = sorted(set(range(total)) - set(found))
        raise Violated(f"{run}: not exactly the samples 0..{total - 1}: missing {missing}, found {found}")
    size = len(log_bytes(run))
    whole = sum(row.end_bytes - row.start_bytes for row in valid_rows(run))
    if whole != size:
        raise Violated(f"{run}: {size - whole} bytes of the finished log are no record")
    check_statistics(run, statistics)
    check_checkpoint(run, numbers_only=numbers_only)


def _done(checkpoint: Mapping[str, Any]) -> set[int]:
    done = set(range(checkpoint["last_completed_idx"] + 1))
    for start, end in checkpoint["completed_above"]:
        done.update(range(start, end + 1))
    return done
