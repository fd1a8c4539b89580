import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind
from supervisor.policy import DEFAULT_KIND_RETRIES, GiveUp, PastFailure, Policy, Restart, Window, backoff_s, decide

Kind = FailureKind


def replay(kinds: Sequence[Kind], policy: Policy, progressed: Sequence[int] = ()) -> Restart | GiveUp:
    """The decision after these failures, those at `progressed` having committed samples."""
    history = [PastFailure(kind, at in progressed) for at, kind in enumerate(kinds)]
    return decide(history, Failure(kinds[-1], "because"), policy, 0.5)


def restarts(kind: Kind, policy: Policy, at_most: int = 50) -> int:
    """How often a child that always fails in this way, without progress, is started again."""
    for count in range(at_most):
        if isinstance(replay([kind] * (count + 1), policy), GiveUp):
            return count
    return at_most


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.USAGE, 0),
        (Kind.STORAGE, 0),
        (Kind.LOCK_HELD, 0),
        (Kind.HARDWARE, 0),
        (Kind.DO_NOT_REQUEUE, 0),
        (Kind.ILLEGAL_INSTRUCTION, 1),
        (Kind.FPE, 1),
        (Kind.BUS, 2),
        (Kind.ABORT, 3),
        (Kind.SIGKILL, 3),
        (Kind.SIGNAL, 3),
        (Kind.CUDA_OOM, 3),
        (Kind.UNKNOWN, 3),
        (Kind.SEGFAULT, 10),
    ],
)
def test_each_kind_is_retried_as_often_as_it_can_help(kind: Kind, expected: int) -> None:
    assert restarts(kind, Policy()) == expected


def test_every_kind_but_segfault_has_a_limit_of_its_own() -> None:
    assert set(Kind) - set(DEFAULT_KIND_RETRIES) == {Kind.SEGFAULT}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.PREEMPTION])
@pytest.mark.parametrize("max_retries", [0, 1, 2, 7])
def test_max_retries_bounds_every_kind(kind: Kind, max_retries: int) -> None:
    expected = min(max_retries, DEFAULT_KIND_RETRIES.get(kind, max_retries))
    assert restarts(kind, Policy(max_retries=max_retries)) == expected


@pytest.mark.parametrize("max_retries", [0, 10])
def test_preemption_is_retried_without_end(max_retries: int) -> None:
    assert restarts(Kind.PREEMPTION, Policy(max_retries=max_retries), at_most=200) == 200


def test_preemptions_use_up_nothing_of_the_budget() -> None:
    kinds = [Kind.PREEMPTION] * 20 + [Kind.SEGFAULT]
    decision = replay(kinds, Policy(max_retries=1))
    assert isinstance(decision, Restart)
    assert decision.retries_left == 0
    assert isinstance(replay([*kinds, Kind.PREEMPTION, Kind.SEGFAULT], Policy(max_retries=1)), GiveUp)


def test_a_change_of_kind_does_not_renew_the_budget() -> None:
    kinds = [Kind.SEGFAULT, Kind.ABORT, Kind.BUS]
    assert isinstance(replay(kinds, Policy(max_retries=3)), Restart)
    spent = replay([*kinds, Kind.SIGKILL], Policy(max_retries=3))
    assert spent == GiveUp(ExitCode.RETRIES_SPENT, "3 retries without progress are spent")


def test_progress_renews_the_budget_and_its_own_failure_is_the_first_of_the_new_one() -> None:
    policy = Policy(max_retries=2)
    assert isinstance(replay([Kind.SEGFAULT] * 3, policy), GiveUp)
    assert replay([Kind.SEGFAULT] * 3, policy, progressed=[2]) == Restart(0.5, 1, 2, "since the last progress")
    assert isinstance(replay([Kind.SEGFAULT] * 4, policy, progressed=[2]), Restart)
    assert isinstance(replay([Kind.SEGFAULT] * 5, policy, progressed=[2]), GiveUp)


def test_a_child_that_always_advances_is_never_given_up() -> None:
    assert isinstance(replay([Kind.UNKNOWN] * 100, Policy(max_retries=1), progressed=range(100)), Restart)


def test_progress_renews_the_limit_of_a_kind_too() -> None:
    assert isinstance(replay([Kind.ABORT] * 4, Policy()), GiveUp)
    assert isinstance(replay([Kind.ABORT] * 4, Policy(), progressed=[1]), Restart)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.USAGE, ExitCode.CONFIGURATION),
        (Kind.STORAGE, ExitCode.STORAGE),
        (Kind.LOCK_HELD, ExitCode.LOCK_HELD),
        (Kind.HARDWARE, ExitCode.BAD_HARDWARE),
        (Kind.DO_NOT_REQUEUE, ExitCode.DO_NOT_REQUEUE),
        (Kind.SEGFAULT, ExitCode.RETRIES_SPENT),
        (Kind.CUDA_OOM, ExitCode.RETRIES_SPENT),
        (Kind.UNKNOWN, ExitCode.RETRIES_SPENT),
    ],
)
def test_giving_up_says_why_by_its_exit_code(kind: Kind, code: ExitCode) -> None:
    decision = replay([kind] * 11, Policy())
    assert isinstance(decision, GiveUp)
    assert decision.exit_code is code


def test_the_rule_is_told_in_words() -> None:
    assert replay([Kind.USAGE], Policy()) == GiveUp(ExitCode.CONFIGURATION, "usage is not retried")
    expected = GiveUp(ExitCode.RETRIES_SPENT, "fpe is retried at most 1 times without progress")
    assert replay([Kind.FPE] * 2, Policy()) == expected


def test_the_retries_left_count_down_to_the_last() -> None:
    left = []
    for count in (1, 2, 3):
        decision = replay([Kind.ABORT] * count, Policy())
        assert isinstance(decision, Restart)
        left.append(decision.retries_left)
    assert left == [2, 1, 0]


@pytest.mark.parametrize(
    ("policy", "kind", "failures", "jitter", "expected_s"),
    [
        (Policy(), Kind.SEGFAULT, 1, 1.0, 1.0),
        (Policy(), Kind.SEGFAULT, 4, 1.0, 8.0),
        (Policy(), Kind.SEGFAULT, 4, 0.25, 2.0),
        (Policy(), Kind.SIGKILL, 1, 1.0, 10.0),
        (Policy(), Kind.CUDA_OOM, 2, 1.0, 20.0),
        (Policy(), Kind.SEGFAULT, 10_000, 1.0, 300.0),
        (Policy(retry_delay_s=5), Kind.SIGKILL, 3, 1.0, 20.0),
        (Policy(retry_delay_s=0), Kind.UNKNOWN, 9, 1.0, 0.0),
        (Policy(), Kind.SEGFAULT, 0, 1.0, 1.0),
    ],
)
def test_the_backoff_doubles_up_to_the_cap(
    policy: Policy, kind: Kind, failures: int, jitter: float, expected_s: float
) -> None:
    assert backoff_s(policy, kind, failures, jitter) == expected_s


@given(
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.floats(0, 1e6),
    st.sampled_from(Kind),
    st.integers(0, 10**6),
    st.floats(0, 1, exclude_max=True),
)
def test_the_backoff_lies_between_0_and_the_cap(
    delay_s: float | None, cap_s: float, kind: Kind, failures: int, jitter: float
) -> None:
    policy = Policy(retry_delay_s=delay_s, delay_cap_s=cap_s)
    assert 0 <= backoff_s(policy, kind, failures, jitter) <= cap_s


HISTORIES = st.lists(st.builds(PastFailure, st.sampled_from(Kind), st.booleans()), min_size=1, max_size=40)


@given(HISTORIES, st.integers(0, 8))
def test_what_came_before_the_last_progress_does_not_count(history: list[PastFailure], max_retries: int) -> None:
    progress = PastFailure(Kind.SEGFAULT, progressed=True)
    failure = Failure(history[-1].kind, "because")
    policy = Policy(max_retries=max_retries)
    older = [PastFailure(Kind.ABORT, progressed=False)] * 30
    assert decide([*older, progress, *history], failure, policy, 0.5) == decide(
        [progress, *history], failure, policy, 0.5
    )


@given(HISTORIES, st.integers(0, 8))
def test_never_more_restarts_than_allowed_since_the_last_progress(history: list[PastFailure], max_retries: int) -> None:
    decision = decide(history, Failure(history[-1].kind, "because"), Policy(max_retries=max_retries), 0.5)
    last = max((at for at, past in enumerate(history) if past.progressed), default=0)
    spent = sum(past.kind is not Kind.PREEMPTION for past in history[last:])
    if history[-1].kind is not Kind.PREEMPTION and spent > max_retries:
        assert isinstance(decision, GiveUp)
    if isinstance(decision, Restart):
        unlimited = history[-1].kind is Kind.PREEMPTION
        assert (decision.retries_left == math.inf) if unlimited else (0 <= decision.retries_left <= max_retries)


def test_a_kind_may_be_given_another_budget() -> None:
    policy = Policy(max_retries=50, kind_retries={Kind.ABORT: 7, Kind.TRANSIENT: math.inf})
    assert restarts(Kind.ABORT, policy) == 7
    assert restarts(Kind.BUS, policy) == 2
    assert restarts(Kind.TRANSIENT, policy, at_most=200) == 200


def test_a_kind_without_a_limit_uses_up_nothing_of_the_others_budget() -> None:
    policy = Policy(max_retries=1, kind_retries={Kind.TRANSIENT: math.inf})
    assert isinstance(replay([*[Kind.TRANSIENT] * 9, Kind.SEGFAULT], policy), Restart)


def test_a_cap_on_all_restarts_holds_whatever_progress_there_is() -> None:
    policy = Policy(max_restarts_total=5)
    assert isinstance(replay([Kind.SEGFAULT] * 5, policy, progressed=range(5)), Restart)
    decision = replay([Kind.SEGFAULT] * 6, policy, progressed=range(6))
    assert decision == GiveUp(ExitCode.RETRIES_SPENT, "all of the 5 restarts there were are spent")
    assert isinstance(replay([Kind.PREEMPTION] * 6, policy), GiveUp)


def crashes(kind: Kind, marks: Sequence[str], policy: Policy) -> Restart | GiveUp:
    history = [PastFailure(kind, False, mark) for mark in marks]
    return decide(history, Failure(kind, "because", fingerprint=marks[-1]), policy, 0.5)


def test_an_unknown_error_at_the_same_place_twice_without_progress_stops() -> None:
    assert isinstance(crashes(Kind.UNKNOWN, ["a"], Policy()), Restart)
    decision = crashes(Kind.UNKNOWN, ["a", "a"], Policy())
    assert decision == GiveUp(ExitCode.RETRIES_SPENT, "the same crash 2 times without progress: a")
    assert isinstance(crashes(Kind.UNKNOWN, ["a", "b"], Policy()), Restart)
    assert isinstance(crashes(Kind.UNKNOWN, ["", ""], Policy()), Restart)


def test_the_breaker_for_the_same_crash_can_be_set_for_all_kinds() -> None:
    assert isinstance(crashes(Kind.SEGFAULT, ["a"] * 9, Policy()), Restart)
    assert isinstance(crashes(Kind.SEGFAULT, ["a", "a"], Policy(same_crash_limit=3)), Restart)
    assert isinstance(crashes(Kind.SEGFAULT, ["a", "b", "a", "a"], Policy(same_crash_limit=3)), GiveUp)


def test_no_attempt_is_started_that_cannot_be_ready_before_the_deadline() -> None:
    history, failure = [PastFailure(Kind.SEGFAULT, False)], Failure(Kind.SEGFAULT, "because")
    policy = Policy(retry_delay_s=10)
    assert isinstance(decide(history, failure, policy, 0.5, Window(left_s=100, startup_s=60)), Restart)
    decision = decide(history, failure, policy, 0.5, Window(left_s=65, startup_s=60))
    assert isinstance(decision, GiveUp)
    assert decision.exit_code is ExitCode.REQUEUE
    assert "1m05s are left, and another attempt needs 1m05s" in decision.rule
