"""A disk that really fails: a loop device over a sparse file whose own file system runs full.

The kernel finds out when it writes back: fdatasync(2) returns EIO once, or in newer kernels ENOSPC. Tried again it
returns success, and what was written is gone (https://wiki.postgresql.org/wiki/Fsync_Errors).
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.oracle import Violated
from tests.crash.support import Ended, Writers, fresh, judge, run_in
from tests.crash.writer import Job

TOTAL = 40
# Each record fills one block of the disk. A loop device takes it for success when the first half of a write fits, as
# it would where the end of a block that it has is written again together with blocks for which there is no room.
BLOCK_BYTES = 4096
# Without a journal only the data that found no room is lost; a journal would make the whole disk read-only.
SETUP = """
set -e
cd "$1"; shift
mount -t tmpfs -o size=8m tmpfs back
truncate -s 32M back/disk
mkfs.ext4 -q -F -b 4096 -O ^has_journal back/disk
mount -o loop back/disk disk
exec "$@"
"""


def in_namespace(folder: Path) -> list[str]:
    """Execute a command where `folder`/disk is such a disk; it is gone with the command."""
    for name in ("back", "disk"):
        (folder / name).mkdir(exist_ok=True)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh", str(folder)]


@pytest.fixture(autouse=True)
def _needs_mounts(tmp_path: Path) -> None:
    try:
        tried = subprocess.run([*in_namespace(tmp_path), "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if tried.returncode:
        pytest.skip(f"no right or no tool to mount a loop device: {tried.stderr.strip()}")


@dataclass(frozen=True)
class Disk:
    """The disk as its writers see it, and as it is seen from outside their namespace."""

    writers: Writers
    inside: Path
    back: Path
    outside: Path

    def settle(self, path: Path) -> None:
        """Have the kernel write back what it has, so that nothing is halfway when the disk fails."""
        descriptor = os.open(path, os.O_RDWR)
        os.fdatasync(descriptor)
        os.close(descriptor)

    def fail(self) -> None:
        """From now on blocks that were never used cannot be written."""
        with (self.back / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(BLOCK_BYTES))

    def heal(self) -> None:
        (self.back / "filler").unlink()

    def forget(self, path: Path) -> None:
        """Drop what the kernel remembers of a file but has not got on the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@contextmanager
def failing_disk(folder: Path, bug: str = "") -> Iterator[Disk]:
    with Writers(bug, inside=in_namespace(folder)) as writers:
        seen = Path(f"/proc/{writers.pid}/root") / folder.relative_to("/")
        yield Disk(writers, folder / "disk", seen / "back", seen / "disk")


def fail_once(folder: Path, durability: str, bug: str = "") -> Ended:
    """What became of the writer under which the disk failed, once it was resumed to the end. Raises Violated."""
    with failing_disk(folder, bug) as disk:
        job = Job(str(disk.inside), TOTAL, line_bytes=BLOCK_BYTES, durability=durability, pause_s=0.01, interval_s=0.05)
        pid = disk.writers.start(job)
        disk.writers.wait_for(pid, 5)
        disk.writers.freeze(pid)
        disk.settle(run_in(disk.outside) / "results.jsonl")
        disk.fail()
        os.kill(pid, signal.SIGCONT)
        failed = disk.writers.end(pid)
        disk.forget(run_in(disk.outside) / "results.jsonl")
        crashed = fresh(folder / "crashed", disk.outside)
        disk.heal()
        resumed = disk.writers.run(job)
        if resumed.outcome == "StorageFailed":  # the kernel still owed the error to whoever would sync next
            resumed = disk.writers.run(job)
        # Only strict mode promises that what was acknowledged is on the disk.
        promised = [failed] if durability == "strict" else []
        judge(promised, run_in(crashed), resumed, run_in(disk.outside), TOTAL, log_lost=True)
        return failed


@pytest.mark.parametrize("durability", ["strict", "group"])
def test_when_the_disk_fails_the_writer_says_so_and_the_next_one_continues(tmp_path: Path, durability: str) -> None:
    failed = fail_once(tmp_path, durability)
    assert failed.outcome == "StorageFailed"
    assert not failed.told("acknowledged_after_failure")
    message = failed.events[-2]["message"]
    assert "could not sync" in message
    assert os.strerror(errno.EIO) in message or os.strerror(errno.ENOSPC) in message
    print(f"acknowledged before the disk failed: {len(failed.acknowledged)} of {TOTAL}")


def test_the_failing_disk_catches_a_store_that_retries_the_fsync(tmp_path: Path) -> None:
    with pytest.raises(Violated, match="acknowledged, but not there") as caught:
        fail_once(tmp_path, "strict", "retries_the_fsync")
    print(caught.value)
