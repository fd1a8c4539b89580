"""What we tell our own supervisor."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.notify import Report
from supervisor.outer import Outer
from supervisor.progress import Progress
from tests.supervisor.bench import Bench


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    listener.setblocking(False)
    found = []
    while True:
        try:
            found.append(listener.recv(65536).decode())
        except BlockingIOError:
            return found


def test_a_supervised_run_is_told_to_systemd(bench: Bench, systemd: socket.socket) -> None:
    code = """
import os, time
from voice import notify
notify("READY=1")
notify("X_DONE=1\\nX_TOTAL=2\\nX_ACCURACY=0.5")
time.sleep(1.2)
if os.environ["SUPERVISE_ATTEMPT"] == "1": os.abort()
assert "WATCHDOG_USEC" not in os.environ
"""
    environment = {"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "600000", "WATCHDOG_PID": "1"}
    started = bench.launch(bench.words([sys.executable, "-c", code]), environment)
    assert started.wait().code == 0
    said = heard(systemd)
    assert said[0] == "READY=1"
    assert said[-1] == "STOPPING=1"
    assert "STATUS=attempt 2" in said
    assert any(text.startswith("STATUS=restarting in") for text in said)
    assert any("X_DONE=1\nX_TOTAL=2\nX_ACCURACY=0.5" in text for text in said)
    assert said.count("WATCHDOG=1") >= 2


def test_nobody_listening_does_no_harm(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody-" + os.urandom(4).hex()):
        outer = Outer({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "junk"})
        outer.ready()
        outer.pass_on(Progress().updated(Report(done=1), 0.0))
        outer.alive()
        outer.close()
        outer.stopping()
