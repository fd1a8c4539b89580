"""The checkpoint on disk: replaced durably now and then, kept current in place meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from checkpoints.atomic import replace_file
from checkpoints.checkpoint import PAGE_BYTES
from checkpoints.errors import StorageFailed


class CheckpointFile:
    """A rename costs a hundred times what appending a record does, a pwrite(2) half of it.

    One pwrite(2) inside one page is whole for everybody when the process is killed. When the machine dies it may be
    torn, or be on the disk before the log it speaks of: its checksum and the check of what it calls not synced yet
    find that out, and then the log, which is the truth, is counted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._size = 0

    def replace(self, data: bytes) -> None:
        """Make this the checkpoint, durably. Raises StorageFailed."""
        try:
            replace_file(self.path, data)
            self.close()
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageFailed("replace", self.path, error) from error
        self._size = len(data)

    def fits(self, data: bytes) -> bool:
        """Whether overwrite() can take it: it is as long as what is there, and within one page."""
        return len(data) == self._size <= PAGE_BYTES

    def overwrite(self, data: bytes) -> None:
        """Make readers see this from now on. Raises StorageFailed."""
        try:
            os.pwrite(self._descriptor, data, 0)
        except OSError as error:
            raise StorageFailed("write", self.path, error) from error

    def close(self) -> None:
        """Harmless when nothing is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
