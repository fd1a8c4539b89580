"""events.jsonl: what happened, one JSON object per line, appended as it happens.

Every line has `v` (format version), `time` (seconds since the epoch), `supervise_id` and `event`. Readers keep
what they do not know.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1


class LogUnwritable(Exception):
    """The supervisor's own files cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot write {path}: {error.strerror or error}; make room, or choose another --log-dir")


class Journal:
    """Appends events for one life of a supervisor. A line is whole or, after a crash, torn and skipped."""

    def __init__(
        self, path: Path, supervise_id: str, warn: Callable[[str], None], wall: Callable[[], float] = time.time
    ) -> None:
        """Raise LogUnwritable when the file cannot be opened."""
        self.path = path
        self._warn = warn
        self._id = supervise_id
        self._wall = wall
        self._warned = False
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")  # end the line that a crash tore, or the next would join it
        except OSError as error:
            raise LogUnwritable(path, error) from error

    def write(self, event: str, **facts: Any) -> None:
        """Append one event. A full disk must not end the child: the first failure is told, and that is all."""
        line = {"v": FORMAT_VERSION, "time": self._wall(), "supervise_id": self._id, "event": event, **facts}
        try:
            os.write(self._descriptor, json.dumps(line, default=str).encode() + b"\n")
        except OSError as error:
            if not self._warned:
                self._warn(f"the journal {self.path} is incomplete: {error.strerror}")
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal, torn lines passed over. A missing file has none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def unfinished(path: Path) -> dict[str, list[str]]:
    """The supervisors that started, never said that they finished, and were not cleaned up after: their ids, and the
    temporary folders that each has made.
    """
    found: dict[str, list[str]] = {}
    for event in read_journal(path):
        own_id = str(event.get("supervise_id"))
        if event.get("event") == "supervise_started":
            found[own_id] = []
        elif event.get("event") == "attempt_started" and own_id in found:
            found[own_id].append(str(event.get("notify_folder")))
        elif event.get("event") == "supervise_finished":
            found.pop(own_id, None)
        elif event.get("event") == "predecessor_ended":
            found.pop(str(event.get("predecessor")), None)
    return found
