"""checkpoint.json: small and of fixed size; a cache of the log that makes resuming fast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from checkpoints.completed import CompletedSet
from checkpoints.encoding import BadLine, seal, unseal
from checkpoints.errors import UnsupportedFormat
from checkpoints.progress import Progress

FORMAT_VERSION = 1
PAGE_BYTES = 4096  # what one pwrite(2) changes at once, as far as a process that is killed can tell
MAX_RANGES = 128  # more would not fit, and would cost every record time
_SIZES_BYTES = (1024, 2048, PAGE_BYTES)

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after the first `log_offset_bytes` of its results.

    Times are seconds since the epoch; `elapsed_s` is the time spent working, summed over all attempts.
    `completed_above` are the inclusive ranges done beyond `last_completed_idx`; None when they are too many for the
    file, so that resuming has to read the whole log. `in_flight` are the ranges of samples that were begun and have
    no record yet, `crash_counts` how often each sample was in flight when an attempt died. The first `synced_bytes`
    of the log are known to be on the disk.
    """

    run_id: str
    total_samples: int | None
    start_time: float
    last_update_time: float
    last_completed_idx: int = -1
    samples_processed: int = 0
    correct_count: int = 0
    accuracy: float | None = None
    status_counts: Mapping[str, int] = field(default_factory=dict)
    score_sums: Mapping[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    attempt: int = 0
    log_offset_bytes: int = 0
    synced_bytes: int = 0
    in_flight: Ranges = ()
    crash_counts: Mapping[int, int] = field(default_factory=dict)
    completed_above: Ranges | None = ()
    format: int = FORMAT_VERSION

    @property
    def finished(self) -> bool:
        """Whether every sample has a record."""
        return self.total_samples is not None and self.samples_processed >= self.total_samples

    def encode(self) -> bytes:
        """The file's bytes, checksum included, padded with spaces to 1, 2 or 4 KiB.

        What does not fit is left out, in the order of what is missed least; only a run with hundreds of metrics
        needs more than 4 KiB.
        """
        return pad(self.values())

    def values(self) -> dict[str, Any]:
        """What is written, by name, in the order of the file."""
        values = {name: getattr(self, name) for name in _NAMES}
        values["crash_counts"] = list(self.crash_counts.items())
        return values

    @classmethod
    def decode(cls, data: bytes, path: Path) -> Checkpoint:
        """Raise BadLine for damaged bytes, UnsupportedFormat for those of a newer version."""
        if data.endswith(b" \n"):
            data = data[:-1].rstrip(b" ") + b"\n"
        values: dict[str, Any] = unseal(data)
        if values.get("format") != FORMAT_VERSION:
            raise UnsupportedFormat(path, values.get("format"))
        try:
            above = values["completed_above"]
            known_values = {name: value for name, value in values.items() if name in _NAMES}
            known_values |= {
                # A sum that overflowed was written as null: not a number, so the log is counted again.
                "score_sums": {name: float(total) for name, total in values["score_sums"].items()},
                "completed_above": None if above is None else _pairs(above),
                "in_flight": _pairs(values.get("in_flight", ())),
                "crash_counts": dict(_pairs(values.get("crash_counts", ()))),
                # Without the field: from a version that synced the log before each checkpoint.
                "synced_bytes": int(values.get("synced_bytes", values["log_offset_bytes"])),
            }
            return cls(**known_values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadLine(f"not a checkpoint: {error}") from None

    def progress(self) -> Progress:
        """The running totals, ready to be continued. Raises ValueError when the completed set was left out."""
        if self.completed_above is None:
            raise ValueError("the checkpoint does not hold the completed set")
        watermark = [(0, self.last_completed_idx)] if self.last_completed_idx >= 0 else []
        return Progress(
            completed=CompletedSet([*watermark, *self.completed_above]),
            samples_processed=self.samples_processed,
            correct_count=self.correct_count,
            status_counts=defaultdict(int, self.status_counts),
            score_sums=defaultdict(float, self.score_sums),
            attempt=self.attempt,
        )

    def advanced(
        self, progress: Progress, now: float, elapsed_s: float, log_offset_bytes: int, **changes: Any
    ) -> Checkpoint:
        """The checkpoint of the same run at a later moment, with these fields changed too."""
        return replace(
            self,
            last_update_time=now,
            elapsed_s=elapsed_s,
            log_offset_bytes=log_offset_bytes,
            last_completed_idx=progress.completed.last_completed_idx,
            completed_above=progress.completed.above_watermark(MAX_RANGES),
            samples_processed=progress.samples_processed,
            correct_count=progress.correct_count,
            accuracy=progress.accuracy,
            status_counts=dict(progress.status_counts),
            score_sums=dict(progress.score_sums),
            attempt=progress.attempt,
            **changes,
        )


_NAMES = tuple(each.name for each in fields(Checkpoint))


def pad(values: dict[str, Any]) -> bytes:
    """The file's bytes for these values. See Checkpoint.encode()."""
    line = seal(values)
    if len(line) > PAGE_BYTES:
        values = dict(values)
        for name, nothing in (("completed_above", None), ("crash_counts", ()), ("in_flight", ())):
            values[name] = nothing
            line = seal(values)
            if len(line) <= PAGE_BYTES:
                break
    size = next((size for size in _SIZES_BYTES if len(line) <= size), len(line))
    return line[:-1].ljust(size - 1) + b"\n"


def _pairs(values: Iterable[Iterable[int]]) -> Ranges:
    return tuple((int(first), int(second)) for first, second in values)
