"""What a model is: computed once, remembered as long as the file stands."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from evaluate.models.digest import Digests
from tests.models.support import flip_byte


class Reads:
    """Stands in for hashlib.file_digest, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self._real = hashlib.file_digest

    def __call__(self, file: Any, name: str) -> Any:
        self.count += 1
        return self._real(file, name)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counter = Reads()
    monkeypatch.setattr("evaluate.models.digest.hashlib.file_digest", counter)
    return counter


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def remembered(cache: Path, path: Path) -> str:
    """What a new process says that finds this cache."""
    digests = Digests(cache)
    digest = digests.of_file(path)
    digests.remember()
    return digest


def test_is_sha256(weights: Path, tmp_path: Path) -> None:
    assert Digests(tmp_path).of_file(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_unchanged_file_is_not_read_again(weights: Path, tmp_path: Path, reads: Reads) -> None:
    first = remembered(tmp_path, weights)
    assert {remembered(tmp_path, weights) for _ in range(3)} == {first}
    assert reads.count == 1


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_changed_byte_changes_the_digest(weights: Path, tmp_path: Path, at: int) -> None:
    first = remembered(tmp_path, weights)
    flip_byte(weights, at)
    assert remembered(tmp_path, weights) != first


def test_touched_file_is_read_again(weights: Path, tmp_path: Path, reads: Reads) -> None:
    first = remembered(tmp_path, weights)
    os.utime(weights, (1, 1))
    assert remembered(tmp_path, weights) == first
    assert reads.count == 2


def test_replaced_file_of_the_same_size_and_time_is_read_again(weights: Path, tmp_path: Path) -> None:
    first, before = remembered(tmp_path, weights), weights.stat()
    other = tmp_path / "other"
    other.write_bytes(weights.read_bytes())
    flip_byte(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(weights)
    assert weights.stat().st_mtime_ns == before.st_mtime_ns
    assert remembered(tmp_path, weights) != first


def test_change_in_place_behind_a_set_back_clock_is_seen(weights: Path, tmp_path: Path) -> None:
    first, before = remembered(tmp_path, weights), weights.stat()
    flip_byte(weights)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert remembered(tmp_path, weights) != first


def test_link_is_as_good_as_the_file(weights: Path, tmp_path: Path, reads: Reads) -> None:
    """The Hugging Face cache consists of links."""
    link = tmp_path / "link"
    link.symlink_to(weights)
    assert remembered(tmp_path, link) == remembered(tmp_path, weights)
    assert reads.count == 1


def test_link_that_leads_elsewhere_now(weights: Path, tmp_path: Path) -> None:
    other, link = tmp_path / "other", tmp_path / "link"
    other.write_bytes(b"other")
    link.symlink_to(weights)
    first = remembered(tmp_path, link)
    link.unlink()
    link.symlink_to(other)
    assert remembered(tmp_path, link) != first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"0"])
def test_damaged_cache_is_ignored(weights: Path, tmp_path: Path, content: bytes) -> None:
    first = remembered(tmp_path, weights)
    (tmp_path / "digests.json").write_bytes(content)
    assert remembered(tmp_path, weights) == first
    assert str(weights.resolve()) in orjson.loads((tmp_path / "digests.json").read_bytes())


@pytest.mark.parametrize("entry", [None, 1, "x", [], [1], {}, [1, 2, 3, 4, "0" * 64]])
def test_damaged_entry_is_ignored(weights: Path, tmp_path: Path, entry: object) -> None:
    first = remembered(tmp_path, weights)
    (tmp_path / "digests.json").write_bytes(orjson.dumps({str(weights.resolve()): entry}))
    assert remembered(tmp_path, weights) == first


@pytest.mark.parametrize("cache", ["a-file/cache", "a-file"])
def test_cache_that_cannot_be_written_only_costs_time(weights: Path, tmp_path: Path, reads: Reads, cache: str) -> None:
    (tmp_path / "a-file").write_text("no folder")
    assert remembered(tmp_path / cache, weights) == remembered(tmp_path / cache, weights)
    assert reads.count == 2


def test_cache_that_is_new_is_made(weights: Path, tmp_path: Path, reads: Reads) -> None:
    for _ in range(2):
        remembered(tmp_path / "a" / "b", weights)
    assert reads.count == 1


def test_several_files_count_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    digests = Digests(tmp_path)
    first = digests.of_files(tmp_path, ["a", "b"])
    assert digests.of_files(tmp_path, ["b", "a"]) == first
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    assert digests.of_files(tmp_path, ["a", "b"]) != first


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Digests(tmp_path).of_file(tmp_path / "absent")
