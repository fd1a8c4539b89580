"""Reading the user's own JSONL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from evaluate.errors import ConfigurationError


def read_jsonl(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of a file. Raises ConfigurationError that names file and line of what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the data {path}: {error.strerror}") from None
    rows = list(_rows(path, data, columns))
    if not rows:
        raise ConfigurationError(f"there are no rows in {path}")
    return rows


def _rows(path: Path, data: bytes, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    # Not splitlines(): a lone carriage return is white space between JSON's tokens, and ends no line.
    data = data.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, as Windows writes it
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ConfigurationError(f"{path}, line {number}: a row is an object with {' and '.join(columns)}")
        for column in columns:
            if not isinstance(row.get(column), str):
                raise ConfigurationError(f"{path}, line {number}: there is no text in {column!r}")
        yield row
