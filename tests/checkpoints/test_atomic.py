"""Durable replacement: the old bytes or the new, never anything between."""

from __future__ import annotations

import errno
import os
import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checkpoints.atomic import replace_file, write_all
from tests.checkpoints.support import start


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """While this holds, write(2) beyond the size is cut short, and then fails with EFBIG: no space, in effect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_created_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"first, and longer")
    assert path.read_bytes() == b"first, and longer"
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert [*tmp_path.iterdir()] == [tmp_path / "state.json"]


def test_a_temporary_file_left_by_a_crash_does_not_get_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".state.json.tmp").write_bytes(b"half of something that was longer than the new content")
    replace_file(tmp_path / "state.json", b"new")
    assert (tmp_path / "state.json").read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [tmp_path / "state.json"]


@pytest.mark.parametrize("room_bytes", [0, 1, 50, 99])
def test_without_room_for_the_new_bytes_the_old_ones_stay(tmp_path: Path, room_bytes: int) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")
    with largest_file(room_bytes), pytest.raises(OSError, match="File too large") as raised:
        replace_file(path, b"n" * 100)
    assert raised.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    replace_file(path, b"n" * 100)
    assert path.read_bytes() == b"n" * 100


def test_a_failed_sync_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="the disk is broken"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_the_bytes_are_durable_before_they_get_their_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"
        steps.append(f"sync {kind} of {os.fstat(descriptor).st_size if kind == 'file' else 'names'}")
        fsync(descriptor)

    def noted_rename(source: str | Path, target: str | Path) -> None:
        steps.append(f"rename to {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_rename)
    replace_file(tmp_path / "state.json", b"12345")
    assert steps == ["sync file of 5", "rename to state.json", "sync folder of names"]


def test_every_byte_is_written_though_the_kernel_takes_few_at_a_time(tmp_path: Path) -> None:
    """A pipe that is read slowly takes what it has room for."""
    reader, writer = os.pipe()
    data = os.urandom(300_000)
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.close(reader)
        write_all(writer, data)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == data
    assert os.waitpid(child, 0)[1] == 0


def test_a_short_write_is_continued_until_it_fails(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        with largest_file(10), pytest.raises(OSError, match="File too large"):
            write_all(file.fileno(), b"0123456789abcdef")
        assert (tmp_path / "file").read_bytes() == b"0123456789"


REPLACE_FOREVER = """
import sys
from pathlib import Path
from checkpoints.atomic import replace_file
print("ready", flush=True)
for number in range(10**9):
    replace_file(Path(sys.argv[1]), b"%d " % number * 2000)
"""


def test_a_reader_beside_a_writer_that_is_killed_sees_one_whole_version(tmp_path: Path) -> None:
    path, moments = tmp_path / "state.json", random.Random(5)
    replace_file(path, b"0 " * 2000)
    for _ in range(4):
        with start(REPLACE_FOREVER, path) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            until_s = time.monotonic() + moments.uniform(0.02, 0.2)
            seen = set()
            while time.monotonic() < until_s:
                versions = path.read_bytes().split()
                assert (len(versions), len(set(versions))) == (2000, 1)
                seen.add(versions[0])
            child.kill()
        versions = path.read_bytes().split()
        assert (len(versions), len(set(versions))) == (2000, 1)
        assert len(seen) > 1
