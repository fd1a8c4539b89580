"""Power failures under ext4 and xfs: what the kernel really leaves, beside what it may."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("loop_device.sh")
CANNOT = 77


def _run(rounds: int, system: str, bug: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), sys.executable, str(rounds), system]
    ended = subprocess.run(
        command, env={**os.environ, "BUG": bug}, capture_output=True, text=True, timeout=150, check=False
    )
    if ended.returncode == CANNOT:
        pytest.skip(ended.stdout.strip())
    return ended


@pytest.mark.parametrize("system", ["ext4", "xfs"])
def test_a_shut_down_file_system_keeps_everything_that_was_promised(system: str) -> None:
    ended = _run(2, system)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("none of those promised") == 4  # two modes, two rounds


@pytest.mark.parametrize("system", ["ext4", "xfs"])
def test_a_writer_that_never_syncs_is_found_out(system: str) -> None:
    ended = _run(1, system, bug="the log is never synced")
    assert ended.returncode != 0
    assert "acknowledged, but not there" in ended.stderr, ended.stdout + ended.stderr
