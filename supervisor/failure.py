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
    HOST_OOM = "host-oom"  # the kernel's out-of-memory killer
    SIGKILL = "sigkill"  # killed, and nothing says by whom
    SIGNAL = "signal"  # any other signal
    CUDA_OOM = "cuda-oom"
    CUDA_FAULT = "cuda-fault"  # an illegal address, a failed launch: the process is lost, the GPU is not
    GPU_OCCUPIED = "gpu-occupied"  # somebody else holds its memory
    HARDWARE = "hardware"  # run elsewhere
    NCCL = "nccl"  # a collective failed; the root is often on another rank
    PREEMPTION = "preemption"  # asked to go, progress saved
    TIMEOUT = "timeout"  # we ended it: its time was up
    HANG = "hang"  # we ended it: it gave no sign of life
    POISON = "poison"  # one sample kills the process, says the child
    TRANSIENT = "transient"  # a service did not answer, or asked to come back later
    STORAGE = "storage"  # I/O error or no space left
    LOCK_HELD = "lock-held"
    DO_NOT_REQUEUE = "do-not-requeue"
    UNKNOWN = "unknown"  # any other exit code


@dataclass(frozen=True)
class Failure:
    """A verdict, the facts that it rests on, and where known what to do about it.

    `because` is the fact that decided; `chain` holds all that was weighed, the most trusted first.
    `fingerprint` is the same for two deaths of the same cause at the same place; empty when too little is known.
    """

    kind: FailureKind
    because: str
    hint: str = ""
    chain: tuple[str, ...] = ()
    fingerprint: str = ""
