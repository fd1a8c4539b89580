import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.rawlog import RawLog, raw_log_parts
from supervisor.relay import TAIL_BYTES, Outlet, Stream, Tail


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.integers(1, 4000)), max_size=30))
def test_the_tail_is_the_end_of_all_that_was_added(parts: list[tuple[bytes, int]]) -> None:
    tail, everything = Tail(), b""
    for data, times in parts:
        tail.add(data * times)
        everything += data * times
        assert bytes(tail) == everything[-TAIL_BYTES:]


def test_the_tail_does_not_grow() -> None:
    tail = Tail()
    for _ in range(100):
        tail.add(b"x" * TAIL_BYTES)
        assert len(tail._buffer) <= 2 * TAIL_BYTES


def test_what_was_said_before_a_mark_is_not_among_the_last_words() -> None:
    tail = Tail()
    tail.add(b"CUDA out of memory, trying again\n")
    tail.mark()
    assert tail.since_mark == b""
    tail.add(b"the end")
    assert tail.since_mark == b"the end"
    for _ in range(5):
        tail.add(b"x" * TAIL_BYTES)
    assert tail.since_mark == b"x" * TAIL_BYTES


@dataclass
class Pipes:
    """The child's end, what reads it, our end, and the folder of the raw log."""

    source: IO[bytes]
    child: int
    ours: int
    target: int
    folder: Path
    tail: Tail = field(default_factory=Tail)

    def stream(self) -> Stream:
        return Stream(self.source, RawLog(self.folder), self.tail.add, Outlet(self.target))

    @property
    def logged(self) -> bytes:
        return b"".join(path.read_bytes() for path in raw_log_parts(self.folder))


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[Pipes]:
    (reader, child), (ours, target) = os.pipe(), os.pipe()
    pipes = Pipes(os.fdopen(reader, "rb", 0), child, ours, target, tmp_path)
    yield pipes
    pipes.source.close()
    for descriptor in (child, ours, target):
        with suppress(OSError):
            os.close(descriptor)


def test_bytes_pass_through_untouched_to_our_side_the_log_and_the_tail(pipes: Pipes) -> None:
    data = bytes(range(256)) + b"\r\n\xff\xfe no end"
    os.write(pipes.child, data)
    assert pipes.stream().pump()
    assert os.read(pipes.ours, 1000) == data
    assert pipes.logged == data
    assert bytes(pipes.tail) == data


def test_nothing_there_is_not_the_end(pipes: Pipes) -> None:
    stream = pipes.stream()
    assert stream.pump()
    assert bytes(pipes.tail) == b""
    os.close(pipes.child)
    assert not stream.pump()


def test_the_child_and_the_log_go_on_when_our_side_is_closed(pipes: Pipes) -> None:
    stream = pipes.stream()
    os.close(pipes.ours)
    for data in (b"one", b"two"):
        os.write(pipes.child, data)
        assert stream.pump()
    assert pipes.logged == b"onetwo"
    assert bytes(pipes.tail) == b"onetwo"


def test_our_side_goes_on_when_the_log_cannot_take_more(pipes: Pipes) -> None:
    (pipes.folder / "output.log").symlink_to("/dev/full")
    stream = pipes.stream()
    for data in (b"one", b"two"):
        os.write(pipes.child, data)
        assert stream.pump()
    assert os.read(pipes.ours, 100) == b"onetwo"


def test_a_long_raw_log_is_in_parts_and_nothing_is_lost(tmp_path: Path) -> None:
    log = RawLog(tmp_path, part_bytes=1000)
    lines = [b"%06d\n" % number for number in range(3000)]
    for line in lines:
        log(line)
    log.close()
    parts = raw_log_parts(tmp_path)
    assert len(parts) == 22
    assert max(path.stat().st_size for path in parts) <= 1000
    assert b"".join(path.read_bytes() for path in parts) == b"".join(lines)


def test_only_so_many_full_parts_are_kept_as_asked(tmp_path: Path) -> None:
    log = RawLog(tmp_path, part_bytes=10, keep=2)
    for number in range(10):
        log(b"%09d\n" % number)
    log.close()
    assert b"".join(path.read_bytes() for path in raw_log_parts(tmp_path)) == b"000000007\n000000008\n000000009\n"


def test_a_nonblocking_reader_that_is_slow_still_gets_everything(pipes: Pipes) -> None:
    os.set_blocking(pipes.target, False)
    while True:
        try:
            os.write(pipes.target, b"x" * 4096)
        except BlockingIOError:
            break
    pid = os.fork()
    if pid == 0:  # the slow reader
        os.close(pipes.target)
        read = b""
        while not read.endswith(b"the end"):
            read += os.read(pipes.ours, 65536)
        os._exit(0)
    os.close(pipes.ours)
    Outlet(pipes.target)(b"the end")
    assert os.waitpid(pid, 0)[1] == 0
