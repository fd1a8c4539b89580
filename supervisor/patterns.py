"""What a child's last words give away: one row per text that is worth knowing.

Looked up where the end itself says little: an exit code like 1, an abort, a kernel log, a declaration without a kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from supervisor.failure import FailureKind

_LAST_WORDS_BYTES = 16 * 1024  # what a child said long before, and survived, does not explain its end
_LONGEST_WORDS = 200

_SMALLER = "use a smaller batch"
_MORE_MEMORY = "give it more memory, or let it use less"
_OWN_ENVIRONMENT = (
    "another package of that name shadows crashproof's: give crashproof a virtual environment of its own, or name that "
    "environment's Python by its full path"
)
_TOKEN = "log in with a token that may read it (HF_TOKEN)"  # noqa: S105 - advice, no secret


@dataclass(frozen=True)
class Pattern:
    """A text and what it means: `example` is real, `source` says whose it is, `hint` what the user can do.

    A row `only_at_start` does not count once samples were committed. A `weak` one counts where no other fits:
    libraries print such things and try again by themselves.
    """

    kind: FailureKind
    regex: re.Pattern[bytes]
    example: str
    source: str
    hint: str = ""
    only_at_start: bool = False
    weak: bool = False


@dataclass(frozen=True)
class Match:
    """A row, and the words that fit it."""

    pattern: Pattern
    words: str


def _row(kind: FailureKind, regex: str, example: str, source: str, hint: str = "", *, weak: bool = False) -> Pattern:
    at_start = kind is FailureKind.USAGE
    return Pattern(kind, re.compile(regex.encode(), re.MULTILINE), example, source, hint, at_start, weak)


_K = FailureKind
PATTERNS: tuple[Pattern, ...] = (
    # Wrong from the start.
    _row(
        _K.USAGE, r"No module named (evaluate|checkpoints)\.__main__",
        "/v/bin/python: No module named evaluate.__main__; 'evaluate' is a package and cannot be directly executed",
        "CPython, runpy", _OWN_ENVIRONMENT,
    ),
    _row(
        _K.USAGE, r"No module named [\w.]+$|^ModuleNotFoundError: .*",
        "ModuleNotFoundError: No module named 'vllm'", "CPython", "a module is missing in the child's Python: install it there",
    ),
    _row(
        _K.USAGE, r"^ImportError: (?:lib|/)[^\n:]+: cannot open shared object file",
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        "glibc, dlopen", "a shared library is missing: install it, or set LD_LIBRARY_PATH",
    ),
    _row(
        _K.USAGE, r"^(?:SyntaxError|IndentationError|TabError): .*", "SyntaxError: invalid syntax", "CPython",
        "fix the child's code",
    ),
    _row(
        _K.USAGE, r"error: (?:unrecognized arguments|the following arguments are required|argument [^\n:]+): ?.*",
        "lm_eval: error: unrecognized arguments: --modle hf", "CPython, argparse", "fix the command line",
    ),
    _row(
        _K.USAGE, r"Cannot access gated repo for url|Access to model [^\n]+ is restricted",
        "Cannot access gated repo for url https://huggingface.co/api/models/meta-llama/Llama-3.1-8B.",
        "huggingface_hub/errors.py", _TOKEN,
    ),
    _row(
        _K.USAGE, r"is not a local folder and is not a valid model identifier",
        "OSError: gtp2 is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'",
        "transformers/utils/hub.py", "check the model's name",
    ),
    # The memory of a GPU.
    _row(
        _K.CUDA_OOM, r"(?:CUDA|HIP|MPS backend) out of memory|torch(?:\.cuda)?\.OutOfMemoryError",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 23.57 GiB",
        "pytorch, c10/cuda/CUDACachingAllocator.cpp", _SMALLER,
    ),
    _row(
        _K.CUDA_OOM, r"CUDA error: out of memory|cudaMalloc failed: out of memory",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory",
        "ggml, ggml-cuda.cu", _SMALLER,
    ),
    _row(
        _K.CUDA_OOM, r"CUBLAS_STATUS_ALLOC_FAILED",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "pytorch, aten/src/ATen/cuda/CublasHandlePool.cpp", _SMALLER,
    ),
    _row(
        _K.CUDA_OOM, r"RESOURCE_EXHAUSTED: Out of memory",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes.",
        "openxla, BFCAllocator", _SMALLER,
    ),
    _row(
        _K.CUDA_OOM, r"No available memory for the cache blocks",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing",
        "vllm, v1/core/kv_cache_utils.py", "give vLLM a larger share of the GPU's memory, or a shorter context",
    ),
    _row(
        _K.GPU_OCCUPIED, r"Free memory on device [^\n]{0,80}\bless than desired GPU memory utilization",
        "ValueError: Free memory on device cuda:0 (3.25/23.43 GiB) on startup is less than desired GPU memory utilization "
        "(0.96, 22.49 GiB)",
        "vllm, v1/worker/gpu_worker.py", "find out who else is on this GPU (nvidia-smi)",
    ),
    _row(
        _K.GPU_OCCUPIED, r"all CUDA-capable devices are busy or unavailable",
        "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable", "CUDA, cudaErrorDevicesUnavailable",
        "find out who else is on this GPU (nvidia-smi)",
    ),
    # A broken context: the process is lost, a new one may do.
    _row(
        _K.CUDA_FAULT, r"CUDA error: device-side assert triggered",
        "RuntimeError: CUDA error: device-side assert triggered", "CUDA, cudaErrorAssert",
        "often one sample with a token that the model does not know",
    ),
    _row(
        _K.CUDA_FAULT,
        r"(?:CUDA error|CUDA_ERROR)[^\n]{0,40}(?:illegal memory access|misaligned address|unspecified launch failure|"
        r"ILLEGAL_ADDRESS|LAUNCH_FAILED|illegal instruction)",
        "RuntimeError: CUDA error: an illegal memory access was encountered", "CUDA, cudaErrorIllegalAddress",
    ),
    _row(
        _K.CUDA_FAULT, r"CUBLAS_STATUS_(?!ALLOC_FAILED)[A-Z_]+|CUDNN_STATUS_[A-Z_]+",
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`",
        "pytorch, aten/src/ATen/cuda/CUDABlas.cpp",
    ),
    _row(
        _K.HARDWARE, r"uncorrectable (?:NVLink|ECC) error",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered", "CUDA, cudaErrorECCUncorrectable",
        "take this GPU out of service",
    ),
    _row(
        _K.HARDWARE, r"GPU has fallen off the bus|GPU is lost|Unable to determine the device handle for GPU",
        "NVRM: GPU at PCI:0000:06:00: GPU has fallen off the bus.", "NVIDIA's driver", "take this GPU out of service",
    ),
    _row(
        _K.HARDWARE, r"NVRM: Xid \([^\n)]+\): (?:48|64|74|79|95)\b",
        "NVRM: Xid (PCI:0000:65:00): 79, pid=4242, name=python, GPU has fallen off the bus.", "NVIDIA, XID errors",
        "take this GPU out of service",
    ),
    _row(
        _K.HARDWARE, r"No devices were found$", "No devices were found", "nvidia-smi", "look for the GPU",
    ),
    # Collectives.
    _row(
        _K.NCCL, r"Watchdog caught collective operation timeout",
        "[rank1]:[E] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=ALLREDUCE) ran for "
        "600017 milliseconds before timing out.",
        "pytorch, torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp", "the root is often on another rank: look at its log",
    ),
    _row(
        _K.NCCL, r"\bnccl(?:RemoteError|SystemError|InternalError|UnhandledCudaError)\b|NCCL communicator was aborted",
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970, remote process exited or there was "
        "a network error, NCCL version 2.20.5\nncclRemoteError: A call failed possibly due to a network error",
        "pytorch, torch/csrc/distributed/c10d/NCCLUtils.cpp", "the root is often on another rank: look at its log",
    ),
    _row(
        _K.NCCL, r"Connection closed by peer \[[^\n\]]+\]|\bDistNetworkError\b|\bDistBackendError\b",
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:52424",
        "gloo, transport/tcp/pair.cc", "the root is often on another rank: look at its log",
    ),
    # The memory of the machine.
    _row(
        _K.HOST_OOM, r"(?:Out of memory|Memory cgroup out of memory): Killed process \d+",
        "Memory cgroup out of memory: Killed process 25851 (python) total-vm:79760kB, anon-rss:69888kB", "Linux, mm/oom_kill.c",
        _MORE_MEMORY,
    ),
    _row(
        _K.HOST_OOM, r"oom-kill:constraint=",
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/job,task_memcg=/job,task=python,pid=25851,uid=0",
        "Linux, mm/oom_kill.c", _MORE_MEMORY,
    ),
    _row(
        _K.HOST_OOM, r"DataLoader worker \(pid[^\n)]*\) is killed by signal: Killed",
        "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed. ", "pytorch, torch/csrc/DataLoader.cpp",
        _MORE_MEMORY,
    ),
    _row(
        _K.HOST_OOM, r"killed due to the node running low on memory",
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", "ray, node_manager.cc",
        _MORE_MEMORY,
    ),
    _row(
        _K.HOST_OOM, r"[Dd]etected \d+ oom[_-]kill event",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1234.batch. Some of your processes may have been killed "
        "by the cgroup out-of-memory handler.",
        "slurm, slurmstepd", _MORE_MEMORY,
    ),
    _row(_K.HOST_OOM, r"^MemoryError\b.*", "MemoryError", "CPython", _MORE_MEMORY),
    _row(
        _K.BUS, r"DataLoader worker \(pid[^\n)]*\) is killed by signal: Bus error",
        "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Bus error. It is possible that dataloader's "
        "workers are out of shared memory. Please try to raise your shared memory limit.",
        "pytorch, torch/csrc/DataLoader.cpp", "give /dev/shm more room (--shm-size)",
    ),
    # What glibc and C++ say before they abort.
    _row(
        _K.ABORT,
        r"double free or corruption|(?:free|malloc|realloc)\(\): [a-z][a-z ]+|corrupted size vs\. prev_size|"
        r"\*\*\* stack smashing detected \*\*\*",
        "free(): invalid pointer", "glibc, malloc/malloc.c",
    ),
    _row(
        _K.ABORT, r"terminate called after throwing an instance of '[^\n']+'",
        "terminate called after throwing an instance of 'std::bad_alloc'", "libstdc++, vterminate.cc", weak=True,
    ),
    # The disk.
    _row(
        _K.STORAGE, r"No space left on device|Disk quota exceeded",
        "OSError: [Errno 28] No space left on device: 'results.jsonl'", "Linux, ENOSPC and EDQUOT", "free some space",
    ),
    _row(
        _K.STORAGE, r"Read-only file system|\[Errno 5\] Input/output error",
        "OSError: [Errno 30] Read-only file system: 'results.jsonl'", "Linux, EROFS and EIO", "look after the disk",
    ),
    # The scheduler.
    _row(
        _K.PREEMPTION, r"CANCELLED AT \S+ DUE TO PREEMPTION",
        "slurmstepd: error: *** JOB 1234 ON node7 CANCELLED AT 2026-11-24T03:00:00 DUE TO PREEMPTION ***", "slurm, slurmstepd",
    ),
    _row(
        _K.PREEMPTION, r"SignalException: Process \d+ got signal: 15",
        "torch.distributed.elastic.multiprocessing.api.SignalException: Process 4242 got signal: 15",
        "pytorch, torch/distributed/elastic/multiprocessing/api.py",
    ),
    # Services.
    _row(
        _K.TRANSIENT, r"Temporary failure in name resolution|Name or service not known|nodename nor servname provided",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution", "glibc, gai_strerror", weak=True,
    ),
    _row(
        _K.TRANSIENT, r"Connection (?:refused|reset by peer|timed out)|Stale file handle|Network is unreachable",
        "ConnectionRefusedError: [Errno 111] Connection refused", "Linux, ECONNREFUSED and the like", weak=True,
    ),
    _row(
        _K.TRANSIENT, r"\b(?:429 (?:Client Error|Too Many Requests)|50[0234] (?:Server Error|Internal|Bad|Service|Gateway))",
        "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://huggingface.co/api/datasets/gsm8k",
        "requests, models.py", weak=True,
    ),
    _row(
        _K.TRANSIENT, r"\b(?:RateLimitError|InternalServerError|APIConnectionError|APITimeoutError|OverloadedError)\b",
        "openai.RateLimitError: Error code: 429 - {'error': {'message': 'Rate limit reached'}}", "openai-python, _exceptions.py",
        weak=True,
    ),
    _row(
        _K.TRANSIENT, r"\b(?:ReadTimeout|ConnectTimeout|Max retries exceeded with url)\b",
        "httpx.ReadTimeout: The read operation timed out", "httpx, _exceptions.py", weak=True,
    ),
)  # fmt: skip


def match(tail: bytes, progressed: bool, own: Iterable[Pattern] = ()) -> Match | None:
    """The row that explains the last 16 KiB, `own` rows before ours; None if none does.

    Of several the one whose words come first: the root is older than what follows from it.
    """
    words = tail[-_LAST_WORDS_BYTES:]
    for rows in (tuple(own), [row for row in PATTERNS if not row.weak], [row for row in PATTERNS if row.weak]):
        found = [
            (hit.start(), at, row, hit.group())
            for at, row in enumerate(rows)
            if not (row.only_at_start and progressed) and (hit := row.regex.search(words))
        ]
        if found:
            _, _, row, text = min(found, key=lambda each: each[:2])
            return Match(row, text.decode(errors="replace").strip()[:_LONGEST_WORDS])
    return None
