"""Durable replacement of a small file: the only place in the project that renames data into being."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Make `path` hold `data`: after a crash at any point a reader finds the old bytes or the new, whole.

    A caller who holds the lock that makes it the only writer needs one name for the temporary file: one left over
    from a crash is overwritten. `shared` files, which several processes may replace at once, get one each.
    Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp" if shared else f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; write(2) may take fewer than it is given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
