"""The table of texts that are known, each with a real example."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.classify import classify
from supervisor.evidence import Evidence, ExitStatus
from supervisor.failure import Failure, FailureKind
from supervisor.patterns import PATTERNS, match

Kind = FailureKind

TORCHRUN_CASCADE = """
[rank1]:[E1124 03:00:00 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3)
terminate called after throwing an instance of 'c10::DistBackendError'
  what():  [PG ID 0 PG GUID 0(default_pg) Rank 1] Process group watchdog thread terminated with exception
W1124 03:00:01 torch/distributed/elastic/multiprocessing/api.py:900] Sending process 4242 closing signal SIGTERM
E1124 03:00:02 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: -6) local_rank: 1 (pid: 4243)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
job.py FAILED
"""
OOM_THEN_NCCL = (
    """
[rank0]: Traceback (most recent call last):
[rank0]:   File "job.py", line 10, in <module>
[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.1 GiB
"""
    + TORCHRUN_CASCADE
)
VLLM_START = """
(EngineCore_0 pid=4242) ERROR 11-24 03:00:00 [core.py:708] EngineCore failed to start.
(EngineCore_0 pid=4242) Traceback (most recent call last):
(EngineCore_0 pid=4242)   File "vllm/v1/worker/gpu_worker.py", line 180, in init_device
(EngineCore_0 pid=4242) ValueError: Free memory on device cuda:0 (3.25/23.43 GiB) on startup is less than desired GPU memory utilization (0.96, 22.49 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
GATED = """
huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-2)

Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.
Access to model meta-llama/Llama-3.1-8B is restricted and you are not in the authorized list. Visit
"""
RAY_HOST_OOM = """
ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.
Memory on the node (IP: 10.0.62.231) where the task was running was 27.33GB / 28.80GB (0.948921)
"""
RETRIED_THEN_BUG = """
WARNING: HTTP Error 429 Too Many Requests thrown while requesting HEAD https://huggingface.co/gsm8k, Retrying in 1s
Traceback (most recent call last):
  File "job.py", line 3, in score
KeyError: 'answer'
"""
API = """
openai.RateLimitError: Error code: 429 - {'error': {'message': 'Rate limit reached for gpt-5'}}
"""
LLAMA_CPP = """
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory
alloc_tensor_range: failed to allocate CUDA0 buffer of size 4294967296
llama_model_load: error loading model: unable to allocate CUDA0 buffer
"""
GLOO = """
RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:52424
"""
ASSERT = """
../aten/src/ATen/native/cuda/Indexing.cu:1308: indexSelectLargeIndex: block: [7,0,0], thread: [96,0,0] Assertion `srcIndex < srcSelectDimSize` failed.
RuntimeError: CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call
"""


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: f"{row.kind}: {row.example[:30]}")
def test_every_row_explains_its_own_example(row: object) -> None:
    (own,) = [each for each in PATTERNS if each is row]
    assert own.regex.search(own.example.encode())
    assert own.source
    found = match(b"noise before it\n" + own.example.encode() + b"\nnoise after it\n", progressed=False)
    assert found is not None
    assert found.pattern.kind is own.kind


def test_every_kind_that_only_words_can_tell_has_a_row() -> None:
    told = {row.kind for row in PATTERNS}
    assert {Kind.CUDA_OOM, Kind.CUDA_FAULT, Kind.GPU_OCCUPIED, Kind.NCCL, Kind.HARDWARE, Kind.TRANSIENT} <= told


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (TORCHRUN_CASCADE, Kind.NCCL),
        (OOM_THEN_NCCL, Kind.CUDA_OOM),
        (VLLM_START, Kind.GPU_OCCUPIED),
        (GATED, Kind.USAGE),
        (RAY_HOST_OOM, Kind.HOST_OOM),
        (API, Kind.TRANSIENT),
        (LLAMA_CPP, Kind.CUDA_OOM),
        (GLOO, Kind.NCCL),
        (ASSERT, Kind.CUDA_FAULT),
    ],
)
def test_what_real_programs_print_is_understood(text: str, kind: Kind) -> None:
    verdict = classify(Evidence(ExitStatus(code=1), tail=text.encode()))
    assert isinstance(verdict, Failure)
    assert verdict.kind is kind


def test_what_a_library_has_tried_again_gives_way_to_what_is_stronger() -> None:
    found = match((RETRIED_THEN_BUG + "\nOSError: [Errno 28] No space left on device\n").encode(), progressed=True)
    assert found is not None
    assert found.pattern.kind is Kind.STORAGE


def test_an_abort_is_known_by_what_the_library_said_before_it() -> None:
    for words, kind in [
        (TORCHRUN_CASCADE, Kind.NCCL),
        ("free(): invalid pointer\n", Kind.ABORT),
        (ASSERT, Kind.CUDA_FAULT),
    ]:
        verdict = classify(Evidence(ExitStatus(signal=6), tail=words.encode()))
        assert isinstance(verdict, Failure)
        assert verdict.kind is kind


def test_colours_hide_nothing() -> None:
    found = match(b"\x1b[31mtorch.OutOfMemoryError\x1b[0m: \x1b[1mCUDA out of memory\x1b[0m.", progressed=True)
    assert found is not None
    assert found.pattern.kind is Kind.CUDA_OOM


def test_only_the_last_16_kib_count() -> None:
    assert match(b"CUDA out of memory" + b"." * 16_000, progressed=True)
    assert match(b"CUDA out of memory" + b"." * 17_000, progressed=True) is None


@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_can_be_last_words(tail: bytes, progressed: bool) -> None:
    found = match(tail, progressed)
    assert found is None or len(found.words) <= 200


def test_no_text_however_odd_takes_long() -> None:
    """Against catastrophic backtracking: seconds would be minutes then."""
    rng = random.Random(0)
    pieces = [row.example.encode()[:20] for row in PATTERNS] + [
        b"a",
        b" ",
        b"(",
        b"\n",
        b"CUDA error",
        b"Xid (",
        b"x" * 500,
    ]
    begun_s = time.process_time()
    for _ in range(50):
        match(b"".join(rng.choice(pieces) for _ in range(2000)), progressed=False)
    assert time.process_time() - begun_s < 10
