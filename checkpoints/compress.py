"""Packing the results of a finished run, and unpacking them. At any moment one of the two files is whole.

`results.jsonl` counts while it is there; it is removed only once its packed copy was read back.
"""

from __future__ import annotations

import gzip
import io
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from checkpoints.atomic import replace_with, sync_directory
from checkpoints.errors import CheckpointError, RunNotFound
from checkpoints.layout import RunLayout
from checkpoints.lock import RunLock
from checkpoints.recovery import read_checkpoint

_CHUNK_BYTES = 1 << 20
_LEVEL = 6


class CompressRefused(CheckpointError):
    """The files were left as they are."""


@dataclass(frozen=True)
class Content:
    """What identifies the bytes of a file."""

    size_bytes: int = 0
    crc: int = 0


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk before and after; equal when there was nothing to do."""

    before_bytes: int
    after_bytes: int


def compress(layout: RunLayout) -> Sizes:
    """Pack a finished run under its lock. Raises RunNotFound, RunLocked, CompressRefused, StorageFailed, OSError."""
    return _locked(layout, pack)


def decompress(layout: RunLayout) -> Sizes:
    """Unpack a run under its lock. Raises as compress()."""
    return _locked(layout, unpack)


def _locked(layout: RunLayout, action: Callable[[RunLayout], Sizes]) -> Sizes:
    if not layout.run.is_file():
        raise RunNotFound(layout.root)
    lock = RunLock(layout.lock)
    lock.acquire()
    try:
        return action(layout)
    finally:
        lock.release()


def pack(layout: RunLayout) -> Sizes:
    """results.jsonl becomes results.jsonl.gz. The run's lock must be held."""
    if not layout.results.exists():
        if layout.compressed.exists():
            size = layout.compressed.stat().st_size
            return Sizes(size, size)
        raise CompressRefused(f"there are no results in {layout.root}")
    checkpoint = read_checkpoint(layout)
    size = layout.results.stat().st_size
    if checkpoint is None or not checkpoint.finished:
        raise CompressRefused(
            f"{layout.root} is not finished, as far as its checkpoint.json tells: only a finished run can be compressed"
        )
    if checkpoint.log_offset_bytes != size:
        raise CompressRefused(
            f"{layout.results} has {size} bytes, and the run's records end at byte {checkpoint.log_offset_bytes}: "
            "run its command once more, or `verify` it"
        )
    _refuse_if_they_differ(layout)
    replace_with(layout.compressed, lambda file: _pack_into(layout.results, file))
    layout.results.unlink()
    sync_directory(layout.root)
    return Sizes(size, layout.compressed.stat().st_size)


def unpack(layout: RunLayout) -> Sizes:
    """results.jsonl.gz becomes results.jsonl. The run's lock must be held."""
    if not layout.compressed.exists():
        if layout.results.exists():
            size = layout.results.stat().st_size
            return Sizes(size, size)
        raise CompressRefused(f"there are no results in {layout.root}")
    if layout.results.exists():
        _refuse_if_they_differ(layout)
    else:
        replace_with(layout.results, lambda file: _unpack_into(layout.compressed, file))
    before = layout.compressed.stat().st_size
    layout.compressed.unlink()
    sync_directory(layout.root)
    return Sizes(before, layout.results.stat().st_size)


def _pack_into(source: Path, file: BinaryIO) -> None:
    with (
        source.open("rb") as log,
        # No name and no time inside: the same results give the same bytes.
        gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
    ):
        written = _content(log, packed)
    file.flush()
    if packed_content(Path(file.name)) != written:
        raise CompressRefused(f"{source} did not come back from its compressed copy as it was: it is kept as it is")


def _unpack_into(source: Path, file: BinaryIO) -> None:
    try:
        with gzip.open(source, "rb") as packed:
            shutil.copyfileobj(packed, file, _CHUNK_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CompressRefused(f"{source} is damaged ({error}): it is kept as it is") from None


def _refuse_if_they_differ(layout: RunLayout) -> None:
    """Both are there after a crash in between, and then hold the same. Anything else is for people to look at."""
    if not layout.compressed.exists():
        return
    with layout.results.open("rb") as log:
        plain = _content(log)
    if packed_content(layout.compressed) != plain:
        raise CompressRefused(
            f"{layout.results} and {layout.compressed.name} are both there and differ; results.jsonl is what counts. "
            "Both are kept: remove the one you do not want"
        )


def packed_content(path: Path) -> Content | None:
    """What a compressed file holds; None when it is damaged."""
    try:
        with gzip.open(path, "rb") as packed:
            return _content(packed)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None


def _content(source: IO[bytes] | gzip.GzipFile | io.BufferedReader, copy: gzip.GzipFile | None = None) -> Content:
    size, crc = 0, 0
    while chunk := source.read(_CHUNK_BYTES):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        if copy is not None:
            copy.write(chunk)
    return Content(size, crc)
