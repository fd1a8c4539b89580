"""The stores that are compared, each as people use it: add one result at a time, come back, know what is done."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from bench.payload import fields, sample
from checkpoints import CheckpointManager, Durability

_RUN = "run"


class Store(Protocol):
    """Results on disk. Making one resumes what is there: `done` is how many results it holds."""

    done: int

    def fill(self, idxs: Iterable[int]) -> None:
        """Add many results by the quickest way there is; not measured."""

    def add(self, idx: int) -> None:
        """Add one result, as durably as this store does."""

    def close(self) -> None:
        """Give back what is held."""


class BareFile:
    """JSON lines, appended with write(2), with or without fdatasync: the limits of what is possible.

    The lines are encoded beforehand. To come back, all of them are parsed.
    """

    def __init__(self, folder: Path, *, sync: bool) -> None:
        path = folder / "results.jsonl"
        self._line = sample(0).encode()
        self._sync = sync
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with path.open("rb") as file:
            self.done = len([json.loads(line)["idx"] for line in file])

    def fill(self, idxs: Iterable[int]) -> None:
        """Append them."""
        for idx in idxs:
            os.write(self._descriptor, sample(idx).encode())

    def add(self, idx: int) -> None:  # noqa: ARG002  # the line is the same whatever the index
        """One write, one fdatasync if it syncs."""
        os.write(self._descriptor, self._line)
        if self._sync:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class GrowingJson:
    """One JSON file with all results, written anew after every sample: temporary file, rename, no sync."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "checkpoint.json"
        self._results: list[dict[str, Any]] = json.loads(self._path.read_bytes()) if self._path.exists() else []
        self.done = len({each["idx"] for each in self._results})

    def fill(self, idxs: Iterable[int]) -> None:
        """Add them all, save once."""
        self._results.extend(map(fields, idxs))
        self._save()

    def add(self, idx: int) -> None:
        """Add it, save everything."""
        self._results.append(fields(idx))
        self._save()

    def close(self) -> None:
        """Nothing is held."""

    def _save(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump(self._results, file)
        temporary.replace(self._path)


class Sqlite:
    """SQLite in WAL mode, one transaction per sample."""

    def __init__(self, folder: Path, *, synchronous: str) -> None:
        self._connection = sqlite3.connect(folder / "results.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS results (idx INTEGER PRIMARY KEY, result TEXT)")
        self.done = len({idx for (idx,) in self._connection.execute("SELECT idx FROM results")})

    def fill(self, idxs: Iterable[int]) -> None:
        """All in one transaction."""
        self._connection.execute("BEGIN")
        for idx in idxs:
            self.add(idx)
        self._connection.execute("COMMIT")

    def add(self, idx: int) -> None:
        """One row, committed at once when outside of a transaction."""
        self._connection.execute("INSERT INTO results VALUES (?, ?)", (idx, json.dumps(fields(idx))))

    def close(self) -> None:
        """Fold the WAL into the database."""
        self._connection.close()


class Sqlitedict:
    """`SqliteDict(path, autocommit=True)` with pickled values under hashed keys, as lm-eval's --use_cache keeps them.

    To come back, every sample's key is looked up and its value unpickled, as lm-eval does. Raises ImportError.
    """

    def __init__(self, folder: Path) -> None:
        self._results = importlib.import_module("sqlitedict").SqliteDict(str(folder / "cache.db"), autocommit=True)
        self.done = sum(self._results[self._key(idx)] is not None for idx in range(len(self._results)))

    def fill(self, idxs: Iterable[int]) -> None:
        """All in one transaction."""
        self._results.update((self._key(idx), fields(idx)) for idx in idxs)

    def add(self, idx: int) -> None:
        """Set the key; autocommit waits for SQLite's commit."""
        self._results[self._key(idx)] = fields(idx)

    def close(self) -> None:
        """End its thread."""
        self._results.close()

    @staticmethod
    def _key(idx: int) -> str:
        return hashlib.sha256(json.dumps(["generate_until", f"a question, number {idx}"]).encode()).hexdigest()


class Ours:
    """CheckpointManager, one record() per sample."""

    def __init__(self, folder: Path, *, durability: Durability) -> None:
        self._run = CheckpointManager(folder, _RUN, durability=durability).open()
        self.done = self._run.get_statistics().samples_processed

    def fill(self, idxs: Iterable[int]) -> None:
        """One record() of all."""
        self._run.record(*map(sample, idxs))

    def add(self, idx: int) -> None:
        """Build the record and record it."""
        self._run.record(sample(idx))

    def close(self) -> None:
        """Commit, give the lock back."""
        self._run.close()


MakeStore = Callable[[Path], Store]
