import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.stopping import Step, Target, hang_ladder, ladder


def test_the_leader_hears_first_then_the_group_then_all_are_killed() -> None:
    assert ladder(signal.SIGUSR1, 30.0) == (
        Step(0.0, signal.SIGUSR1, Target.LEADER),
        Step(25.0, signal.SIGTERM, Target.GROUP),
        Step(30.0, signal.SIGKILL, Target.GROUP),
    )


@pytest.mark.parametrize(("grace_s", "group_after_s"), [(0, 0), (1, 0.5), (8, 4), (10, 5), (11, 6), (120, 115)])
def test_a_short_grace_is_halved(grace_s: float, group_after_s: float) -> None:
    assert ladder(signal.SIGTERM, grace_s)[1].after_s == group_after_s


@given(st.sampled_from([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]), st.floats(0, 1e6))
def test_the_steps_are_in_order_and_end_with_the_grace(first: signal.Signals, grace_s: float) -> None:
    steps = ladder(first, grace_s)
    assert [step.after_s for step in steps] == sorted(step.after_s for step in steps)
    assert steps[0] == Step(0.0, first, Target.GROUP if first == signal.SIGINT else Target.LEADER)
    assert steps[-1] == Step(grace_s, signal.SIGKILL, Target.GROUP)


def test_a_child_that_hangs_leaves_its_stacks_before_it_is_killed() -> None:
    assert hang_ladder() == (
        Step(0.0, signal.SIGCONT, Target.GROUP),
        Step(0.0, None, Target.STACKS),
        Step(5.0, signal.SIGABRT, Target.GROUP),
        Step(15.0, signal.SIGKILL, Target.GROUP),
    )
