"""What is kept of a run once it is closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from checkpoints.compress import pack
from checkpoints.errors import StorageFailed
from checkpoints.layout import RunLayout
from checkpoints.recovery import read_checkpoint

# Never attempt-NNNN.json: what an attempt says of its beginning decides which records count.
_REPORT = re.compile(r"attempt-(\d{4,})(?:\.(\d+))?\.(torn-tail|report\.json)")


@dataclass(frozen=True)
class Retention:
    """`keep_reports`: so many of the newest crash reports and torn tails, per kind; None keeps all.

    `compress_finished`: pack the results of a run once it is complete. Raises ValueError.
    """

    keep_reports: int | None = None
    compress_finished: bool = False

    def __post_init__(self) -> None:
        if self.keep_reports is not None and self.keep_reports < 0:
            raise ValueError(f"the reports to keep must be at least 0, not {self.keep_reports}")


def apply(layout: RunLayout, retention: Retention) -> None:
    """Throw away what is not to be kept. The lock must be held.

    Raises CompressRefused, StorageFailed; the results are whole all the same.
    """
    try:
        if retention.keep_reports is not None:
            for path in superfluous_reports(layout, retention.keep_reports):
                path.unlink(missing_ok=True)
        if retention.compress_finished and layout.results.exists():
            checkpoint = read_checkpoint(layout)
            if checkpoint is not None and checkpoint.finished:
                pack(layout)
    except OSError as error:
        raise StorageFailed("clear up", layout.root, error) from error


def superfluous_reports(layout: RunLayout, keep: int, *kinds: str) -> Iterator[Path]:
    """The crash reports ("report.json") and torn tails ("torn-tail") but the newest `keep` of each kind."""
    if layout.attempts.is_symlink() or not layout.attempts.is_dir():
        return
    found: dict[str, list[tuple[int, int, Path]]] = {}
    for path in layout.attempts.iterdir():
        match = _REPORT.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink() and (not kinds or match[3] in kinds):
            found.setdefault(match[3], []).append((int(match[1]), int(match[2] or 0), path))
    for reports in found.values():
        newest_first = sorted(reports, reverse=True)
        yield from (path for _, _, path in newest_first[keep:])
