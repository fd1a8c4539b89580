from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisor.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Checks after every test what holds for all: no crash of our own, and nothing left alive."""
    bench = Bench(tmp_path)
    try:
        yield bench
        running = [started.process.pid for started in bench.started if started.process.poll() is None]
        left, crashes = bench.left_alive(), bench.own_tracebacks()
    finally:
        bench.clear()
    assert running == []
    assert left == []
    assert crashes == []
