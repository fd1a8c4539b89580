"""The child's output, byte for byte, on the disk: in parts, so that none of them grows without end."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor.journal import LogUnwritable

PART_BYTES = 256 << 20
_NAME = "output.log"


class RawLog:
    """output.log in a folder; when it is full it becomes output.1.log, output.2.log …, and a new one is begun.

    Nothing is lost unless `keep` says how many full parts to keep. A disk that is full ends the log, not the child.
    """

    def __init__(self, folder: Path, part_bytes: int = PART_BYTES, keep: int | None = None) -> None:
        """Raise LogUnwritable."""
        self._folder, self._part_bytes, self._keep = folder, part_bytes, keep
        self._parts = self._bytes = 0
        self._descriptor = -1
        try:
            self._open()
        except OSError as error:
            raise LogUnwritable(folder / _NAME, error) from error

    def __call__(self, data: bytes) -> None:
        """Append it."""
        if self._descriptor < 0:
            return
        try:
            if self._bytes and self._bytes + len(data) > self._part_bytes:
                self._turn()
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self.close()
            return
        self._bytes += len(data)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._folder / _NAME, flags, 0o644)
        self._bytes = 0

    def _turn(self) -> None:
        self.close()
        self._parts += 1
        (self._folder / _NAME).rename(self._folder / f"output.{self._parts}.log")
        if self._keep is not None and self._parts > self._keep:
            (self._folder / f"output.{self._parts - self._keep}.log").unlink(missing_ok=True)
        self._open()


def raw_log_parts(folder: Path) -> list[Path]:
    """All parts of a raw log, in order."""
    full = sorted(folder.glob("output.*.log"), key=lambda path: int(path.name.split(".")[1]))
    return [*full, *folder.glob(_NAME)]
