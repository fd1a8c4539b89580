"""The kinds of failure, by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why an attempt ended before its work was done."""

    USAGE = "usage"  # wrong command line or configuration: trying again cannot help
    SEGFAULT = "segfault"
    ABORT = "abort"
    BUS = "bus"
    ILLEGAL_INSTRUCTION = "illegal-instruction"
    FPE = "fpe"
    SIGKILL = "sigkill"  # killed, and nothing says by whom: often the kernel, out of memory
    SIGNAL = "signal"  # any other signal
    CUDA_OOM = "cuda-oom"
    PREEMPTION = "preemption"  # asked to go, progress saved
    STORAGE = "storage"  # I/O error or no space left
    LOCK_HELD = "lock-held"
    HARDWARE = "hardware"
    DO_NOT_REQUEUE = "do-not-requeue"
    UNKNOWN = "unknown"  # any other exit code


@dataclass(frozen=True)
class Failure:
    """A verdict, the fact that it rests on, and where known what to do about it."""

    kind: FailureKind
    because: str
    hint: str = ""
