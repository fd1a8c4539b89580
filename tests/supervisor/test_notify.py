import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.notify import NotifySocket, Report, parse


@pytest.mark.parametrize(
    ("datagram", "report"),
    [
        (b"", Report()),
        (b"READY=1", Report(ready=True)),
        (b"READY=1\nSTATUS=loading", Report(ready=True, status="loading")),
        (b"READY=0", Report()),
        (b"STATUS=a=b", Report(status="a=b")),
        (b"STATUS=", Report(status="")),
        (b"STATUS=\xff\xfe", Report(status="\ufffd\ufffd")),
        (b"X_DONE=16\nX_TOTAL=64\nX_ACCURACY=0.3125\n", Report(done=16, total=64, accuracy=0.3125)),
        (b"X_DONE=1\nX_DONE=2", Report(done=2)),
        (b"X_DONE=many\nX_TOTAL=64", Report(total=64)),
        (b"X_DONE=nan\nX_TOTAL=inf\nX_ACCURACY=-inf", Report()),
        (b"X_DONE=1e300", Report()),
        (b"X_DONE=", Report()),
        (b"X_DONE", Report()),
        (b"WATCHDOG=1\nMAINPID=7", Report()),
        (b"\0\0=\0", Report()),
    ],
)
def test_a_datagram_is_read_line_by_line(datagram: bytes, report: Report) -> None:
    assert parse(datagram) == report


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.tuples(st.sampled_from([b"READY", b"STATUS", b"X_DONE", b"X_TOTAL", b"X_ACCURACY"]), st.binary())
        ).map(lambda pairs: b"\n".join(key + b"=" + value for key, value in pairs)),
    )
)
def test_garbage_never_raises(datagram: bytes) -> None:
    report = parse(datagram)
    assert report.done is None or abs(report.done) < 1e15
    assert report.accuracy is None or abs(report.accuracy) < 1e15


@given(st.integers(0, 10**14), st.integers(0, 10**14), st.floats(0, 1))
def test_what_was_said_is_what_is_understood(done: int, total: int, accuracy: float) -> None:
    text = f"X_DONE={done}\nX_TOTAL={total}\nX_ACCURACY={accuracy!r}\nSTATUS=working"
    assert parse(text.encode()) == Report(status="working", done=done, total=total, accuracy=accuracy)


def say(path: Path, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
        voice.setblocking(False)
        for datagram in datagrams:
            voice.sendto(datagram, str(path))


def test_the_socket_gives_what_has_arrived_in_order_and_never_waits() -> None:
    with NotifySocket() as notify:
        assert notify.receive() == []
        say(notify.path, b"X_DONE=1", b"\xff" * 100, b"", b"X_DONE=2")
        assert notify.receive() == [Report(done=1), Report(), Report(), Report(done=2)]
        assert notify.receive() == []


class Flood:
    """A socket with a child behind it that never stops talking."""

    def recv(self, size: int) -> bytes:
        return b"READY=1"

    def close(self) -> None:
        pass


def test_a_child_that_never_stops_talking_does_not_keep_the_socket_busy() -> None:
    with NotifySocket() as notify:
        notify._socket.close()
        notify._socket = Flood()  # type: ignore[assignment]
        assert 0 < len(notify.receive()) < 10_000


def test_the_socket_is_private_and_leaves_no_folder() -> None:
    with NotifySocket() as notify:
        folder = notify.path.parent
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_a_long_tmpdir_does_not_break_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("a" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with NotifySocket() as notify:
        say(notify.path, b"READY=1")
        assert notify.receive() == [Report(ready=True)]
    assert os.listdir(long) == []  # noqa: PTH208
