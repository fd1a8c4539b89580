"""Durable replacement of a small file: the only place in the project that renames data into being."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Make `path` hold `data`: after a crash at any point a reader finds the old bytes or the new, whole.

    A caller who holds the lock that makes it the only writer needs one name for the temporary file: one left over
    from a crash is overwritten. `shared` files, which several processes may replace at once, get one each.
    Raises OSError.
    """
    replace_with(path, lambda file: write_all(file.fileno(), data), shared=shared)


def replace_with(path: Path, write: Callable[[BinaryIO], None], *, shared: bool = False) -> None:
    """As replace_file(), for what is too big for the memory: `write` is handed the temporary file, opened binary.

    When it raises, `path` keeps what it had, and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp" if shared else f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Make a file that must not exist yet, whole or not at all, durably. Raises FileExistsError, OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write_all(file.fileno(), data)
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a folder and those above it, each name durable. Raises OSError."""
    if path.is_dir():
        return
    if path.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
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
