"""The two ends of a real power failure: a writer that tells what was acknowledged, and the one who judges what is left.

    python -m tests.crash.power_live write CHECKPOINT_DIR MODE TOLD [BUG]
    python -m tests.crash.power_live judge CHECKPOINT_DIR MODE TOLD SAFE

TOLD and SAFE hold lines of an idx and an attempt. What the judge saw after a recovery is safe for good.
"""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from checkpoints import CheckpointManager
from tests.crash import oracle
from tests.crash.power_writer import BUGS, GROUP, MODES, RUN, sample

TOTAL = 1_000_000  # never reached


def write(root: str, mode: str, told: str, bug: str = "") -> None:
    """Record until killed."""
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with BUGS[bug].patch() if bug else nullcontext():
        manager = CheckpointManager(root, RUN, durability=MODES[mode]).open(total_samples=TOTAL)
        for idx in itertools.count():
            if not manager.is_completed(idx):
                manager.begin([idx])
                manager.record(sample(idx))
                os.write(descriptor, b"%d %d\n" % (idx, manager.attempt))


def judge(root: str, mode: str, told: str, safe: str) -> None:
    """Recover, and raise Violated unless everything that was promised is there."""
    acknowledged = _pairs(told)
    promised = acknowledged if mode == "strict" else acknowledged[: len(acknowledged) // GROUP * GROUP]
    run = Path(root) / RUN
    with CheckpointManager(root, RUN, durability=MODES[mode]).open(total_samples=TOTAL) as manager:
        oracle.check_survived(run, dict(promised + _pairs(safe)))
        oracle.check_once(run)
        oracle.check_statistics(run, dict(manager.get_statistics()))
        oracle.check_checkpoint(run)
    found = {(row.idx, row.attempt) for row in oracle.rows_of(run)}
    Path(safe).write_text("".join(f"{idx} {attempt}\n" for idx, attempt in sorted(found)))
    print(
        f"{len(acknowledged)} acknowledged, {len(set(acknowledged) - found)} of them not there, none of those promised"
    )


def _pairs(path: str) -> list[tuple[int, int]]:
    if not Path(path).exists():
        return []
    return [(int(idx), int(attempt)) for idx, attempt in map(str.split, Path(path).read_text().splitlines())]


if __name__ == "__main__":
    _act, *_arguments = sys.argv[1:]
    if _act == "write":
        write(*_arguments)
    else:
        judge(*_arguments)
