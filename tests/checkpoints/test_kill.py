"""A real process writes as fast as it can, and is killed again and again, at moments it does not choose."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from checkpoints import CheckpointManager
from tests.checkpoints.support import counted, environment, lines_of, recount

SAMPLES = 3_000
KILLS = 30
ACKNOWLEDGEMENT = struct.Struct("=ii56x")
PIPE_BYTES = 4096  # the child can be no more than 64 acknowledgements ahead of us

# The argument `forgetful` seeds the bug that this test exists to catch: acknowledging what is only in memory.
CHILD = """
import os, random, struct, sys
from checkpoints import CheckpointManager, Record, Status

directory, pipe, seed, samples, behaviour = sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[3:5]), sys.argv[5]
chance = random.Random(seed)
with CheckpointManager(directory, "r").open(total_samples=samples, identity={"task": "kill"}) as run:
    left = [idx for idx in range(samples) if not run.is_completed(idx)]
    held_back = []
    while left:
        batch = [left.pop(chance.randrange(min(20, len(left)))) for _ in range(min(len(left), chance.randint(1, 3)))]
        records = [
            Record(idx, f"s{idx}", chance.choice([*Status, *[Status.SUCCESS] * 9]), is_correct=chance.random() < 0.5,
                   extra={"text": "t" * chance.choice([10, 600, 9_000])})
            for idx in batch
        ]
        held_back += records
        if behaviour != "forgetful" or len(held_back) >= 10 or not left:
            run.record(*held_back)
            held_back = []
        os.write(pipe, b"".join(struct.pack("=ii56x", idx, run.attempt) for idx in batch))
"""


@dataclass
class Told:
    """What the children acknowledged: the attempt of each sample."""

    attempts: dict[int, int] = field(default_factory=dict)
    twice: list[int] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        whole = len(data) - len(data) % ACKNOWLEDGEMENT.size
        for idx, attempt in ACKNOWLEDGEMENT.iter_unpack(data[:whole]):
            if idx in self.attempts:
                self.twice.append(idx)
            self.attempts[idx] = attempt


def run_child(directory: Path, told: Told, seed: int, kill_after: int | None, behaviour: str = "sound") -> int:
    """Run one child; SIGKILL it a moment after that many acknowledgements. Returns its exit status."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), str(writer), str(seed), str(SAMPLES), behaviour],
        env=environment(),
        pass_fds=[writer],
    )
    os.close(writer)
    received = b""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while chunk := pipe.read(1 << 16):
            received += chunk
            if kill_after is not None and len(received) >= kill_after * ACKNOWLEDGEMENT.size:
                moment_s = time.perf_counter() + random.Random(seed).uniform(0, 0.0005)
                while time.perf_counter() < moment_s:
                    pass
                child.kill()
                kill_after = None
    told.add(received)
    return child.wait()


def broken_promises(told: Told, manager: CheckpointManager) -> list[int]:
    """The samples that were acknowledged, and are not in the log exactly once with that attempt's number."""
    found = Counter((record.idx, record.attempt) for record in manager.records())
    return [idx for idx, attempt in told.attempts.items() if found[idx, attempt] != 1] + told.twice


def test_no_acknowledged_record_is_lost_or_doubled_however_often_the_writer_is_killed(tmp_path: Path) -> None:
    told, moments, manager = Told(), random.Random(2024), CheckpointManager(tmp_path, "r")
    kills = attempts = 0
    while attempts == 0 or not manager.get_statistics().finished:
        kill_after = moments.randint(1, 100) if kills < KILLS else None
        status = run_child(tmp_path, told, attempts, kill_after)
        assert status in {0, -signal.SIGKILL}
        assert broken_promises(told, manager) == []
        kills += status == -signal.SIGKILL
        attempts += 1

    assert kills >= KILLS // 3
    assert broken_promises(told, manager) == []
    assert sorted(record.idx for record in manager.records()) == list(range(SAMPLES))
    assert len(lines_of(manager)) == SAMPLES
    stats = manager.get_statistics()
    assert counted(manager) == recount(manager)
    assert (stats.finished, stats.attempts, stats.samples_processed) == (True, attempts, SAMPLES)
    manager.layout.checkpoint.unlink()
    assert counted(manager) == recount(manager)


def test_a_writer_that_acknowledges_too_early_is_found_out(tmp_path: Path) -> None:
    """Without this, the test above might pass because it cannot fail."""
    told, manager = Told(), CheckpointManager(tmp_path, "r")
    for round_number in range(5):
        run_child(tmp_path, told, round_number, kill_after=45, behaviour="forgetful")
    assert broken_promises(told, manager) != []
