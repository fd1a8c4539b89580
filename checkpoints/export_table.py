"""Records as a table, CSV or Parquet: a first pass finds the columns, a second writes the rows."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO

from checkpoints.export import ExportRefused, Source, fields_of

MAX_COLUMNS = 2_000
MAX_KEYS = 256  # an object with more different keys is data rather than columns
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 32 << 20
_FIRST = ("idx", "sample_id", "status", "ground_truth", "model_answer", "is_correct", "scores", "timestamp", "attempt")
_EXACT_IN_A_FLOAT = 1 << 53
_INT64 = 1 << 63


class Kind(StrEnum):
    """What the cells of a column have in common."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    LONG = "long"  # an integer that a float cannot hold
    NUMBER = "number"
    TEXT = "text"
    JSON = "json"  # nested, or of several kinds


@dataclass(frozen=True)
class Column:
    """`path` is a field of the record, or a field that is an object and one of its keys."""

    name: str
    path: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True)
class Table:
    """What the first pass found; `whole` are the objects that are kept as JSON in one column."""

    columns: tuple[Column, ...]
    whole: frozenset[str]

    def cells(self, fields: Mapping[str, Any]) -> list[Any]:
        """A record's values, one per column; None where it has none."""
        return [self._cell(fields.get(column.path[0]), column.path) for column in self.columns]

    def _cell(self, value: Any, path: tuple[str, ...]) -> Any:
        expanded = isinstance(value, Mapping) and path[0] not in self.whole
        if len(path) == 1:
            return None if expanded else value
        return value.get(path[1]) if expanded else None


@dataclass
class Survey:
    """The first pass: which paths there are, and what kinds of values they hold."""

    kinds: dict[tuple[str, ...], set[Kind]] = field(
        default_factory=lambda: {(name,): set() for name in _FIRST if name != "scores"}
    )
    keys: dict[str, set[str]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    def add(self, fields: Mapping[str, Any]) -> None:
        """Look at one record. Raises ExportRefused."""
        for name, value in fields.items():
            if isinstance(value, Mapping) and name not in self.whole:
                keys = self.keys.setdefault(name, set())
                keys.update(value)
                if len(keys) > MAX_KEYS:
                    self._keep_whole(name)
            for path, cell in _paths(name, value, self.whole):
                self.kinds.setdefault(path, set()).update(_kind(cell))
        if len(self.kinds) > MAX_COLUMNS:
            raise ExportRefused(f"there are more than {MAX_COLUMNS} different fields, too many for a table: use jsonl")

    def _keep_whole(self, name: str) -> None:
        self.whole.add(name)
        del self.keys[name]
        self.kinds = {path: kinds for path, kinds in self.kinds.items() if path[0] != name} | {(name,): {Kind.JSON}}


def survey(source: Source) -> Table:
    """Find the columns: a field that is an object has one per key, `scores.numeric`. Raises ExportRefused."""
    found = Survey()
    for record in source.as_written():
        found.add(fields_of(record))
    return Table(tuple(_columns(found.kinds)), frozenset(found.whole))


def _paths(name: str, value: Any, whole: set[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and name not in whole:
        yield from (((name, key), cell) for key, cell in value.items())
    else:
        yield (name,), value


def _columns(kinds: Mapping[tuple[str, ...], set[Kind]]) -> Iterator[Column]:
    order = {name: at for at, name in enumerate(dict.fromkeys([*_FIRST, *[path[0] for path in kinds]]))}
    taken: Counter[str] = Counter()
    for path in sorted(kinds, key=lambda path: order[path[0]]):
        name = ".".join(path)
        taken[name] += 1
        # A field may be called "a.b" beside a field "a" with a key "b".
        yield Column(name if taken[name] == 1 else f"{name} ({taken[name]})", path, common(kinds[path]))


def _kind(value: Any) -> set[Kind]:
    if value is None:
        return set()
    if isinstance(value, bool):
        return {Kind.BOOLEAN}
    if isinstance(value, int):
        if -_EXACT_IN_A_FLOAT <= value <= _EXACT_IN_A_FLOAT:
            return {Kind.INTEGER}
        return {Kind.LONG if -_INT64 <= value < _INT64 else Kind.JSON}
    if isinstance(value, float):
        return {Kind.NUMBER}
    return {Kind.TEXT if isinstance(value, str) else Kind.JSON}


def common(kinds: set[Kind]) -> Kind:
    """The kind that holds all of these without loss."""
    if len(kinds) <= 1:
        return next(iter(kinds), Kind.TEXT)
    if kinds == {Kind.INTEGER, Kind.NUMBER}:
        return Kind.NUMBER
    return Kind.LONG if kinds == {Kind.INTEGER, Kind.LONG} else Kind.JSON


def write_csv(source: Source, file: BinaryIO) -> None:
    """RFC 4180, UTF-8, a header line; nested values are JSON, a missing one is empty."""
    table = survey(source)
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([column.name for column in table.columns])
    for record in source.records():
        writer.writerow([_as_text(cell) for cell in table.cells(fields_of(record))])
    text.detach()


def _as_text(cell: Any) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else as_json(cell)


def as_json(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_parquet(source: Source, file: BinaryIO) -> None:
    """Typed columns in row groups. A column of several kinds, or of nested values, holds JSON text, and says so in
    its field's metadata (`encoding`: `json`). Raises ExportRefused without pyarrow.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ExportRefused("Parquet is written by pyarrow, which is missing: pip install pyarrow") from None
    table = survey(source)
    types = {
        Kind.BOOLEAN: arrow.bool_(),
        Kind.INTEGER: arrow.int64(),
        Kind.LONG: arrow.int64(),
        Kind.NUMBER: arrow.float64(),
    }
    schema = arrow.schema(
        [
            arrow.field(
                column.name.encode("utf-8", "backslashreplace").decode(),
                types.get(column.kind, arrow.string()),
                metadata={"encoding": "json"} if column.kind is Kind.JSON else None,
            )
            for column in table.columns
        ]
    )
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _groups(source, table):
            columns = [
                arrow.array([_as_arrow(cell, column.kind) for cell in cells], type=field.type)
                for cells, column, field in zip(zip(*rows, strict=True), table.columns, schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema), row_group_size=ROW_GROUP_ROWS)


def _groups(source: Source, table: Table) -> Iterator[list[list[Any]]]:
    rows: list[list[Any]] = []
    size = 0
    for record in source.records():
        cells = table.cells(fields_of(record))
        rows.append(cells)
        size += sum(len(cell) if isinstance(cell, str) else 64 for cell in cells)
        if len(rows) >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _as_arrow(cell: Any, kind: Kind) -> Any:
    if cell is None:
        return None
    if kind is Kind.NUMBER:
        return float(cell)
    if kind is Kind.JSON:
        cell = as_json(cell)
    # A lone surrogate, which JSON can hold, is not UTF-8.
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
