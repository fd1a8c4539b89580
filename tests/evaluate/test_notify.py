"""Datagrams, as a real socket receives them; and nobody listening."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evaluate.notify import Notifier

FDS = Path("/proc/self/fd")


@contextmanager
def listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(address)
        bound.settimeout(5)
        yield bound


def lines(receiver: socket.socket) -> list[str]:
    return receiver.recv(65536).decode().split("\n")


def test_everything_a_supervisor_wants_to_know_arrives(tmp_path: Path) -> None:
    with listener(str(tmp_path / "notify")) as receiver:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        assert lines(receiver) == ["READY=1"]
        notifier.status("loading")
        assert lines(receiver) == ["STATUS=loading"]
        notifier.progress(16, 64, 0.3125)
        expected = ["STATUS=16/64, accuracy 31.2%", "WATCHDOG=1", "X_DONE=16", "X_TOTAL=64", "X_ACCURACY=0.3125"]
        assert lines(receiver) == expected
        notifier.progress(0, 64, None)
        assert lines(receiver) == ["STATUS=0/64", "WATCHDOG=1", "X_DONE=0", "X_TOTAL=64"]


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    name = uuid.uuid4().hex
    with listener(f"\0{name}") as receiver:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).status("here")
        assert lines(receiver) == ["STATUS=here"]


def test_a_value_cannot_smuggle_in_a_line_of_its_own(tmp_path: Path) -> None:
    with listener(str(tmp_path / "notify")) as receiver:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.status("one\nX_DONE=9\n")
        assert lines(receiver) == ["STATUS=one X_DONE=9 "]
        notifier.status("half a \ud800 pair")
        assert lines(receiver) == ["STATUS=half a ? pair"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_an_address_no_socket_is_opened(environment: dict[str, str]) -> None:
    before = len(list(FDS.iterdir()))
    notifier = Notifier(environment)
    notifier.ready()
    assert len(list(FDS.iterdir())) == before


@pytest.mark.parametrize("name", ["absent", "left-over", "plain-file", "n" * 200])
def test_nobody_listening_is_no_error_and_a_later_listener_is_heard(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "left-over":
        with listener(str(path)):
            pass
        assert path.exists()
    elif name == "plain-file":
        path.touch()
    notifier = Notifier({"NOTIFY_SOCKET": str(path)})
    notifier.progress(1, 2, 0.5)
    path.unlink(missing_ok=True)
    if len(name) < 100:  # the longest name that such a socket can have
        with listener(str(path)) as receiver:
            notifier.ready()
            assert lines(receiver) == ["READY=1"]


def test_a_listener_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with listener(str(tmp_path / "notify")) as receiver:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        began_s = time.monotonic()
        for done in range(5000):
            notifier.progress(done, 5000, None)
        assert time.monotonic() - began_s < 10
        receiver.setblocking(False)
        received = 0
        while True:
            try:
                text = receiver.recv(65536).decode()
            except BlockingIOError:
                break
            assert f"X_DONE={received}\n" in text
            received += 1
        assert 0 < received < 5000, "the queue was never full"
        notifier.ready()
        assert lines(receiver) == ["READY=1"]
