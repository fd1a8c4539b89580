"""A fast evaluator of nothing, made to be killed.

`python -m bench.victim FOLDER PIPE` imports the store once, then forks one victim for each line of its input, which
is a JSON list of `Orders`. It answers with the victim's process id, and with its exit status once it has ended.
A victim tells the pipe what it was promised: one `TOLD` per record, after record() has returned.
"""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from bench.probe import MODES
from checkpoints import CheckpointManager, Record, Status

RUN = "victim"
TOLD = struct.Struct("=qqd40x")  # sample (or OPENED), attempt, seconds that open() took
OPENED = -1
WINDOW = 24  # samples are finished out of order within so many
_TEXTS = ("t" * 10, "t" * 400, "t" * 600, "t" * 9_000)


@dataclass(frozen=True)
class Orders:
    """What a victim is to do. `forgetful` is a seeded bug: it acknowledges what is only in memory.

    `samples` is the number after which it ends by itself, 0 for never.
    """

    seed: int
    mode: str
    samples: int = 0
    forgetful: bool = False

    def encode(self) -> bytes:
        """One line of the server's input."""
        return json.dumps(astuple(self)).encode() + b"\n"


def serve(folder: Path, pipe: int) -> None:
    """Fork a victim per line, one at a time, until the input ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                evaluate(folder, pipe, Orders(*json.loads(line)))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def evaluate(folder: Path, pipe: int, orders: Orders) -> None:
    """Record the missing samples window by window, each one shuffled, a few in one record()."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begun_s = time.perf_counter()
    run = CheckpointManager(folder, RUN, durability=MODES[orders.mode]()).open()
    os.write(pipe, TOLD.pack(OPENED, run.attempt, time.perf_counter() - begun_s))
    chance, teller = random.Random(orders.seed), Teller(run, pipe, held_back=10 if orders.forgetful else 0)
    checkpoint = run.load_checkpoint()
    first = checkpoint.last_completed_idx + 1 if checkpoint else 0
    recorded = 0
    while not orders.samples or recorded < orders.samples:
        window = [idx for idx in range(first, first + WINDOW) if not run.is_completed(idx)]
        first += WINDOW
        recorded += len(window)
        run.begin(window)
        chance.shuffle(window)
        while window:
            teller.record([_record(window.pop(), chance) for _ in range(min(len(window), chance.randint(1, 4)))])
    run.close()


class Teller:
    """Records, then tells."""

    def __init__(self, run: CheckpointManager, pipe: int, held_back: int) -> None:
        self._run = run
        self._pipe = pipe
        self._held_back = held_back
        self._waiting: list[Record] = []

    def record(self, records: list[Record]) -> None:
        """Tell of each record once it is recorded (or, if forgetful, a little too early)."""
        self._waiting += records
        if len(self._waiting) > self._held_back:
            self._run.record(*self._waiting)
            self._waiting = []
        os.write(self._pipe, b"".join(TOLD.pack(each.idx, self._run.attempt, 0.0) for each in records))


def _record(idx: int, chance: random.Random) -> Record:
    status = chance.choice([*Status, *[Status.SUCCESS] * 9])
    return Record(idx, f"s{idx}", status, is_correct=chance.random() < 0.5, extra={"text": chance.choice(_TEXTS)})


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
