"""A durable store for the results of long evaluations: one record per sample, lost never, counted once.

>>> from checkpoints import CheckpointManager
>>> manager = CheckpointManager("./checkpoints", "my-run")     # touches nothing
>>> if manager.load_checkpoint():                              # read-only, also beside a live writer
...     print(manager.get_statistics()["accuracy"])
"""

from checkpoints.checkpoint import Checkpoint
from checkpoints.durability import Durability
from checkpoints.errors import (
    CheckpointError,
    CorruptRun,
    Difference,
    RunFenced,
    RunLocked,
    RunMismatch,
    RunNotFound,
    RunNotOpen,
    StorageFailed,
    UnsupportedFormat,
)
from checkpoints.manager import CheckpointManager
from checkpoints.memory import MemoryRun
from checkpoints.record import Record, Status
from checkpoints.retention import Retention
from checkpoints.statistics import Statistics
from checkpoints.writer import Clock

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointManager",
    "Clock",
    "CorruptRun",
    "Difference",
    "Durability",
    "MemoryRun",
    "Record",
    "Retention",
    "RunFenced",
    "RunLocked",
    "RunMismatch",
    "RunNotFound",
    "RunNotOpen",
    "Statistics",
    "Status",
    "StorageFailed",
    "UnsupportedFormat",
]
