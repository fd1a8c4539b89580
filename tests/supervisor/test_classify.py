import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.classify import Stopped, Success, Verdict, classify
from supervisor.evidence import Evidence, ExitStatus, StopReason, signal_name
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind

PYTHON_OOM = b"""Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/transformers/models/qwen2/modeling_qwen2.py", line 46, in forward
    down_proj = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 23.57 GiB of
"""
CUBLAS = b"RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`\n"
MISSING_MODULE = b"""Traceback (most recent call last):
  File "<string>", line 1, in <module>
ModuleNotFoundError: No module named 'nosuch'
"""
MISSING_MAIN_MODULE = b"/usr/bin/python3: No module named nosuch.part\n"
SHADOWED = (
    b"/v/bin/python: No module named evaluate.__main__; 'evaluate' is a package and cannot be directly executed\n"
)
SYNTAX = b'  File "job.py", line 1\n    def f(:\n          ^\nSyntaxError: invalid syntax\n'
INDENTATION = b'  File "job.py", line 2\n    x\nIndentationError: expected an indented block after function\n'
TAB = b'  File "job.py", line 3\n    x\nTabError: inconsistent use of tabs and spaces in indentation\n'
DISK_FULL = b"OSError: [Errno 28] No space left on device: 'checkpoints/run/log'\n"
QUOTA = b"cp: error writing 'x': Disk quota exceeded\n"


def exited(code: int, **facts: object) -> Verdict:
    return classify(Evidence(ExitStatus(code=code), **facts))  # type: ignore[arg-type]


def killed(number: int, **facts: object) -> Verdict:
    return classify(Evidence(ExitStatus(signal=number), **facts))  # type: ignore[arg-type]


def judged(verdict: Verdict) -> tuple[FailureKind, str]:
    assert isinstance(verdict, Failure), verdict
    return verdict.kind, verdict.because


def kind_of(verdict: Verdict) -> FailureKind:
    assert isinstance(verdict, Failure), verdict
    return verdict.kind


BY_SIGNAL = [
    (signal.SIGSEGV, FailureKind.SEGFAULT),
    (signal.SIGABRT, FailureKind.ABORT),
    (signal.SIGBUS, FailureKind.BUS),
    (signal.SIGILL, FailureKind.ILLEGAL_INSTRUCTION),
    (signal.SIGFPE, FailureKind.FPE),
    (signal.SIGKILL, FailureKind.SIGKILL),
    (signal.SIGTERM, FailureKind.PREEMPTION),
]


@pytest.mark.parametrize(("number", "kind"), BY_SIGNAL)
def test_a_death_by_signal_has_the_kind_of_the_signal(number: int, kind: FailureKind) -> None:
    assert judged(killed(number)) == (kind, signal_name(number))


@pytest.mark.parametrize(("number", "kind"), BY_SIGNAL)
def test_a_shell_that_reports_the_death_of_its_command_is_believed(number: int, kind: FailureKind) -> None:
    verdict = exited(128 + number)
    assert judged(verdict) == (kind, f"exit code {128 + number}, which is 128 + {signal_name(number)}")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGPIPE, signal.SIGQUIT, signal.SIGRTMIN + 3, 99])
def test_any_other_signal_is_a_failure_of_its_own_kind(number: int) -> None:
    assert kind_of(killed(number)) is FailureKind.SIGNAL


def test_the_reason_names_a_signal_that_has_no_name() -> None:
    assert judged(killed(99)) == (FailureKind.SIGNAL, "signal 99")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (69, FailureKind.HARDWARE),
        (73, FailureKind.LOCK_HELD),
        (74, FailureKind.STORAGE),
        (75, FailureKind.PREEMPTION),
        (85, FailureKind.PREEMPTION),
        (93, FailureKind.DO_NOT_REQUEUE),
        (1, FailureKind.UNKNOWN),
        (70, FailureKind.UNKNOWN),
        (128, FailureKind.UNKNOWN),
        (255, FailureKind.UNKNOWN),
    ],
)
@pytest.mark.parametrize("progressed", [False, True])
def test_an_exit_code_means_what_it_declares(code: int, kind: FailureKind, progressed: bool) -> None:
    assert kind_of(exited(code, progressed=progressed)) is kind


@pytest.mark.parametrize("code", [2, 64, 78, 126, 127])
def test_a_usage_code_counts_only_before_the_first_committed_sample(code: int) -> None:
    assert kind_of(exited(code)) is FailureKind.USAGE
    assert kind_of(exited(code, notified=True)) is FailureKind.USAGE
    assert kind_of(exited(code, notified=True, progressed=True)) is FailureKind.UNKNOWN


def test_exit_3_is_success_only_from_a_child_that_speaks_to_us() -> None:
    assert exited(3, notified=True) == Success(ExitCode.COMPLETE_UNSCORED)
    assert kind_of(exited(3)) is FailureKind.UNKNOWN


@given(st.booleans(), st.booleans(), st.sampled_from([b"", PYTHON_OOM, DISK_FULL]))
def test_exit_0_is_success_whatever_else_is_known(notified: bool, progressed: bool, tail: bytes) -> None:
    assert exited(0, notified=notified, progressed=progressed, tail=tail) == Success(ExitCode.COMPLETE)


@pytest.mark.parametrize("stop", [StopReason.USER, StopReason.DRAIN])
def test_exit_0_after_we_asked_it_to_stop_is_success_only_if_all_its_samples_are_committed(stop: StopReason) -> None:
    assert exited(0, stop=stop) == Stopped(stop)
    assert exited(0, stop=stop, notified=True, progressed=True) == Stopped(stop)
    assert exited(0, stop=stop, notified=True, finished=True) == Success(ExitCode.COMPLETE)


def test_exit_0_in_answer_to_the_sigterm_of_chaos_is_a_preemption() -> None:
    assert kind_of(exited(0, told_to_go=True)) is FailureKind.PREEMPTION
    assert exited(0, told_to_go=True, finished=True) == Success(ExitCode.COMPLETE)


def test_a_warning_about_space_long_ago_does_not_explain_the_end() -> None:
    assert kind_of(exited(1, tail=DISK_FULL)) is FailureKind.STORAGE
    assert kind_of(exited(1, tail=DISK_FULL + b"working\n" * 5000)) is FailureKind.UNKNOWN


def test_exit_0_after_a_warning_is_success() -> None:
    assert exited(0, stop=StopReason.WARNED) == Success(ExitCode.COMPLETE)


def test_a_missing_module_that_the_child_survived_long_ago_does_not_explain_its_end() -> None:
    assert kind_of(exited(1, tail=MISSING_MODULE)) is FailureKind.USAGE
    assert kind_of(exited(1, tail=MISSING_MODULE + b"working\n" * 5000)) is FailureKind.UNKNOWN


@given(
    st.one_of(
        st.integers(1, 255).filter(lambda code: code != 3).map(lambda code: ExitStatus(code=code)),
        st.integers(1, 64).map(lambda number: ExitStatus(signal=number)),
    ),
    st.sampled_from(StopReason),
    st.sampled_from([b"", PYTHON_OOM, MISSING_MODULE]),
)
def test_a_stop_that_we_asked_for_is_never_a_failure(status: ExitStatus, stop: StopReason, tail: bytes) -> None:
    assert classify(Evidence(status, stop=stop, tail=tail)) == Stopped(stop)


def test_a_child_that_dies_of_ctrl_c_was_stopped_by_the_user() -> None:
    assert killed(signal.SIGINT) == exited(130) == Stopped(StopReason.USER)


@pytest.mark.parametrize(
    ("tail", "kind", "hint"),
    [
        (PYTHON_OOM, FailureKind.CUDA_OOM, "smaller batch"),
        (CUBLAS, FailureKind.CUDA_OOM, "smaller batch"),
        (SHADOWED, FailureKind.USAGE, "virtual environment of its own"),
        (MISSING_MODULE, FailureKind.USAGE, "module is missing"),
        (MISSING_MAIN_MODULE, FailureKind.USAGE, "module is missing"),
        (SYNTAX, FailureKind.USAGE, "fix the child's code"),
        (INDENTATION, FailureKind.USAGE, "fix the child's code"),
        (TAB, FailureKind.USAGE, "fix the child's code"),
        (DISK_FULL, FailureKind.STORAGE, "free some space"),
        (QUOTA, FailureKind.STORAGE, "free some space"),
    ],
)
def test_exit_1_is_explained_by_the_last_words(tail: bytes, kind: FailureKind, hint: str) -> None:
    verdict = exited(1, tail=b"Loading weights: 100%\n" + tail)
    assert kind_of(verdict) is kind
    assert isinstance(verdict, Failure)
    assert hint in verdict.hint
    assert kind_of(exited(1, tail=b"all is well\n")) is FailureKind.UNKNOWN


@pytest.mark.parametrize(("tail", "kind"), [(PYTHON_OOM, FailureKind.CUDA_OOM), (DISK_FULL, FailureKind.STORAGE)])
def test_memory_and_disk_can_run_out_at_any_time(tail: bytes, kind: FailureKind) -> None:
    assert kind_of(exited(1, tail=tail, progressed=True)) is kind


@pytest.mark.parametrize("tail", [SHADOWED, MISSING_MODULE, MISSING_MAIN_MODULE, SYNTAX, INDENTATION, TAB])
def test_wrong_code_is_not_blamed_once_samples_were_committed(tail: bytes) -> None:
    assert kind_of(exited(1, tail=tail, progressed=True)) is FailureKind.UNKNOWN


def test_a_usage_code_carries_the_hint_of_the_last_words_too() -> None:
    verdict = exited(2, tail=MISSING_MODULE)
    assert isinstance(verdict, Failure)
    assert "module is missing" in verdict.hint


def test_the_status_is_believed_before_the_last_words() -> None:
    assert kind_of(killed(signal.SIGSEGV, tail=PYTHON_OOM)) is FailureKind.SEGFAULT
    assert kind_of(exited(139, tail=MISSING_MODULE)) is FailureKind.SEGFAULT


@given(
    st.one_of(
        st.integers(0, 255).map(lambda code: ExitStatus(code=code)),
        st.integers(1, 64).map(lambda number: ExitStatus(signal=number)),
    ),
    st.sampled_from([None, *StopReason]),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=200),
)
def test_every_end_gets_a_verdict_and_only_0_and_3_are_success(
    status: ExitStatus, stop: StopReason | None, notified: bool, progressed: bool, tail: bytes
) -> None:
    verdict = classify(Evidence(status, stop, notified, progressed, tail))
    done = status.code == 0 and stop in (None, StopReason.WARNED)
    assert isinstance(verdict, Success) == (done or (status.code == 3 and notified))
