"""checkpoint.json: small, of fixed size, replaced atomically; a cache of the log that makes resuming fast."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from checkpoints.completed import CompletedSet
from checkpoints.encoding import BadLine, seal, unseal
from checkpoints.errors import UnsupportedFormat
from checkpoints.progress import Progress

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after the first `log_offset_bytes` of its results.

    Times are seconds since the epoch; `elapsed_s` is the time spent working, summed over all attempts.
    `completed_above` are the inclusive ranges done beyond `last_completed_idx`.
    """

    run_id: str
    total_samples: int | None
    start_time: float
    last_update_time: float
    last_completed_idx: int = -1
    completed_above: tuple[tuple[int, int], ...] = ()
    samples_processed: int = 0
    correct_count: int = 0
    accuracy: float | None = None
    status_counts: dict[str, int] = field(default_factory=dict)
    score_sums: dict[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    attempt: int = 0
    log_offset_bytes: int = 0
    format: int = FORMAT_VERSION

    @property
    def finished(self) -> bool:
        """Whether every sample has a record."""
        return self.total_samples is not None and self.samples_processed >= self.total_samples

    def encode(self) -> bytes:
        """The file's bytes, checksum included."""
        return seal(asdict(self))

    @classmethod
    def decode(cls, data: bytes, path: Path) -> Checkpoint:
        """Raise BadLine for damaged bytes, UnsupportedFormat for those of a newer version."""
        values: dict[str, Any] = unseal(data)
        if values.get("format") != FORMAT_VERSION:
            raise UnsupportedFormat(path, values.get("format"))
        known = {each.name for each in fields(cls)}
        try:
            above = tuple((int(start), int(end)) for start, end in values["completed_above"])
            known_values = {name: value for name, value in values.items() if name in known}
            # A sum that overflowed was written as null: not a number, so the log is counted again.
            sums = {name: float(total) for name, total in values["score_sums"].items()}
            return cls(**{**known_values, "completed_above": above, "score_sums": sums})
        except (KeyError, TypeError, ValueError) as error:
            raise BadLine(f"not a checkpoint: {error}") from None

    def progress(self) -> Progress:
        """The running totals, ready to be continued."""
        watermark = [(0, self.last_completed_idx)] if self.last_completed_idx >= 0 else []
        return Progress(
            completed=CompletedSet([*watermark, *self.completed_above]),
            correct_count=self.correct_count,
            status_counts=Counter(self.status_counts),
            score_sums=Counter(self.score_sums),
            attempt=self.attempt,
        )

    def advanced(self, progress: Progress, now: float, elapsed_s: float, log_offset_bytes: int) -> Checkpoint:
        """The checkpoint of the same run at a later moment."""
        ranges = list(progress.completed.ranges())
        watermark = progress.completed.last_completed_idx
        return replace(
            self,
            last_update_time=now,
            last_completed_idx=watermark,
            completed_above=tuple(ranges[1:] if watermark >= 0 else ranges),
            samples_processed=len(progress.completed),
            correct_count=progress.correct_count,
            accuracy=progress.accuracy,
            status_counts=dict(progress.status_counts),
            score_sums=dict(progress.score_sums),
            elapsed_s=elapsed_s,
            attempt=progress.attempt,
            log_offset_bytes=log_offset_bytes,
        )
