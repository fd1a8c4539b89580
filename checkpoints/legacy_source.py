"""Reading the files that older systems left.

The layouts, as their authors describe them:
    NAME.checkpoint.json  {"last_completed_idx": 781, "total_samples": 1319, "correct_count": 645, "results": [...]}
    NAME.results.jsonl    {"idx": 0, "status": "success", "ground_truth": 42, "model_answer": 42, "is_correct": true}
    checkpoint_NAME.json  {"completed_count": 2450, "completed_indices": [1, 2, ...], "version": "2.0", "config": {...},
                           "metadata": {...}, "results": [{"question_id": 1, "score": 1.0, ...}]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints.encoding import load
from checkpoints.errors import CheckpointError

_RESULTS, _CHECKPOINT = "results.jsonl", "checkpoint.json"


class ImportRefused(CheckpointError):
    """The source is damaged or contradicts itself; nothing was imported."""


@dataclass(frozen=True)
class Source:
    """What was found: the checkpoint's own fields, its embedded rows, and the file of rows beside it."""

    checkpoint: Path | None
    results: Path | None
    fields: Mapping[str, Any]
    embedded: tuple[Mapping[str, Any], ...]

    def rows(self, notes: Callable[[str], None]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Where a row stands, and the row, one in memory at a time when they are lines. Raises ImportRefused."""
        if self.results is not None:
            yield from _lines(self.results, notes)
            return
        for number, row in enumerate(self.embedded):
            yield f"results[{number}]", row

    @property
    def default_name(self) -> str:
        """A run name made of the file's."""
        path = self.checkpoint or self.results
        assert path is not None
        for ending in (_CHECKPOINT, _RESULTS, path.suffix):
            if path.name.endswith(ending):
                name = path.name[: len(path.name) - len(ending)].strip(".")
                return name or path.resolve().parent.name
        return path.name


def find(path: Path) -> Source:
    """Read a checkpoint, or a file of results, and what belongs to it. Raises ImportRefused, OSError."""
    if not path.is_file():
        raise ImportRefused(f"there is no file {path}")
    if (path.parent / "run.json").is_file():
        raise ImportRefused(f"{path} belongs to a run of this store already: there is nothing to import")
    if path.name.endswith(_RESULTS):
        beside = path.with_name(path.name.removesuffix(_RESULTS) + _CHECKPOINT)
        results: Path | None = path
        checkpoint = beside if beside.is_file() else None
    else:
        beside = path.with_name(path.name.removesuffix(_CHECKPOINT) + _RESULTS)
        results = beside if path.name.endswith(_CHECKPOINT) and beside.is_file() else None
        checkpoint = path
    fields = _read_object(checkpoint) if checkpoint else {}
    embedded = fields.get("results", [])
    if not isinstance(embedded, list) or not all(isinstance(row, dict) for row in embedded):
        raise ImportRefused(f"{checkpoint}: `results` is not a list of objects")
    if results is None and "results" not in fields:
        raise ImportRefused(
            f"{checkpoint}: there are no results in it, neither a `results` list nor a file "
            f"{beside.name if path.name.endswith(_CHECKPOINT) else 'NAME.results.jsonl'} beside it"
        )
    return Source(checkpoint, results, {k: v for k, v in fields.items() if k != "results"}, tuple(embedded))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = load(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise ImportRefused(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ImportRefused(f"{path}: not a checkpoint: a JSON object is expected")
    return value


def _lines(path: Path, notes: Callable[[str], None]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSONL file. A last line that is not whole is left out, and noted; any other is refused."""
    bad: tuple[int, str] | None = None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if bad is not None:
                raise ImportRefused(f"{path}, line {bad[0]}: {bad[1]}, yet other lines follow. Nothing was imported")
            try:
                row = load(line)
            except ValueError as error:
                bad = number, f"not JSON ({error})"
                continue
            if not isinstance(row, dict):
                raise ImportRefused(f"{path}, line {number}: a result is an object. Nothing was imported")
            yield f"line {number}", row
    if bad is not None:
        notes(f"{path.name}, line {bad[0]}: the last line is torn, and is left out")
