"""A durable store for the results of long evaluations: one record per sample, lost never, counted once.

>>> from checkpoints import CheckpointManager
>>> manager = CheckpointManager("./checkpoints", "my-run")     # touches nothing
>>> if manager.load_checkpoint():                              # read-only, also beside a live writer
...     print(manager.get_statistics()["accuracy"])
"""

from checkpoints.checkpoint import Checkpoint
from checkpoints.errors import (
    CheckpointError,
    CorruptRun,
    Difference,
    RunLocked,
    RunMismatch,
    RunNotFound,
    RunNotOpen,
    StorageFailed,
    UnsupportedFormat,
)
from checkpoints.manager import CheckpointManager, Clock
from checkpoints.memory import MemoryRun
from checkpoints.record import Record, Status
from checkpoints.statistics import Statistics

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointManager",
    "Clock",
    "CorruptRun",
    "Difference",
    "MemoryRun",
    "Record",
    "RunLocked",
    "RunMismatch",
    "RunNotFound",
    "RunNotOpen",
    "Statistics",
    "Status",
    "StorageFailed",
    "UnsupportedFormat",
]
