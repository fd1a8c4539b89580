import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.relay import TAIL_BYTES, Stream, Tail, _write


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


@dataclass
class Pipes:
    """The child's end, what reads it, our end, and the raw log."""

    source: IO[bytes]
    child: int
    ours: int
    target: int
    log: int
    log_path: Path
    announced: list[bytes] = field(default_factory=list)
    tail: Tail = field(default_factory=Tail)

    def stream(self, log: int | None = None) -> Stream:
        return Stream(self.source, self.target, self.log if log is None else log, self.tail)


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[Pipes]:
    (reader, child), (ours, target) = os.pipe(), os.pipe()
    path = tmp_path / "raw.log"
    pipes = Pipes(os.fdopen(reader, "rb", 0), child, ours, target, os.open(path, os.O_CREAT | os.O_WRONLY), path)
    yield pipes
    pipes.source.close()
    for descriptor in (child, ours, target, pipes.log):
        with suppress(OSError):
            os.close(descriptor)


def test_bytes_pass_through_untouched_to_our_side_the_log_and_the_tail(pipes: Pipes) -> None:
    data = bytes(range(256)) + b"\r\n\xff\xfe no end"
    os.write(pipes.child, data)
    assert pipes.stream().pump(pipes.announced.append)
    assert os.read(pipes.ours, 1000) == data
    assert pipes.log_path.read_bytes() == data
    assert bytes(pipes.tail) == data
    assert pipes.announced == [data]


def test_nothing_there_is_not_the_end(pipes: Pipes) -> None:
    stream = pipes.stream()
    assert stream.pump(pipes.announced.append)
    assert pipes.announced == []
    os.close(pipes.child)
    assert not stream.pump(pipes.announced.append)


def test_the_child_and_the_log_go_on_when_our_side_is_closed(pipes: Pipes) -> None:
    stream = pipes.stream()
    os.close(pipes.ours)
    for data in (b"one", b"two"):
        os.write(pipes.child, data)
        assert stream.pump(pipes.announced.append)
    assert pipes.log_path.read_bytes() == b"onetwo"
    assert bytes(pipes.tail) == b"onetwo"
    assert pipes.announced == [b"one"]


def test_our_side_goes_on_when_the_log_cannot_take_more(pipes: Pipes) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = pipes.stream(log=full)
    for data in (b"one", b"two"):
        os.write(pipes.child, data)
        assert stream.pump(pipes.announced.append)
    os.close(full)
    assert os.read(pipes.ours, 100) == b"onetwo"


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
    assert _write(pipes.target, b"the end", lambda: False)
    assert os.waitpid(pid, 0)[1] == 0
