"""What is done to a running child, and when; without a child, and on a clock of our own."""

import signal
from dataclasses import dataclass, field

import pytest

from supervisor.chaos import Harm, Strike
from supervisor.evidence import Ending, StopReason
from supervisor.pulse import Patience, Rhythm
from supervisor.stopping import Step, Target
from supervisor.watchdog import Limits, Watchdog


@dataclass
class Told:
    texts: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __call__(self, text: str, style: str, event: str, **facts: object) -> None:
        self.texts.append(text)
        self.events.append(event)


def watchdog(rhythm: Rhythm | None = None, **limits: object) -> Watchdog:
    return Watchdog(Limits(**limits), 100.0, Told(), rhythm or Rhythm())  # type: ignore[arg-type]


def ready(dog: Watchdog, now_s: float) -> Watchdog:
    dog.notified(now_s, ready=True, progress=False, allowance_s=None)
    return dog


def run_until(dog: Watchdog, end_s: float, *, stopped: bool = False) -> list[tuple[float, Step]]:
    """What is done up to a moment, and when: act() is called exactly when it says that it is due."""
    done: list[tuple[float, Step]] = []
    for _ in range(100):
        due_s = dog.due_s()
        if due_s is None or due_s > end_s:
            return done
        done += [(due_s, step) for step in dog.act(due_s, stopped=stopped)]
    raise AssertionError("it never comes to rest")


def signals(done: list[tuple[float, Step]]) -> list[tuple[float, signal.Signals | None, Target]]:
    return [(at_s - 100.0, step.signal, step.target) for at_s, step in done]


def test_nothing_is_due_where_nothing_is_limited() -> None:
    dog = ready(watchdog(), 101.0)
    assert dog.due_s() is None
    assert dog.act(1e9, stopped=False) == []


def test_a_timeout_goes_down_the_ladder() -> None:
    dog = watchdog(patience=Patience(timeout_s=60.0), grace_s=30.0)
    assert signals(run_until(dog, 1000.0)) == [
        (60.0, signal.SIGTERM, Target.LEADER),
        (85.0, signal.SIGTERM, Target.GROUP),
        (90.0, signal.SIGKILL, Target.GROUP),
    ]
    assert (dog.ending, dog.stop) == (Ending.TIMEOUT, None)
    assert dog.ending_detail == "not done after 1m00s, which is its --timeout"


def test_a_hang_leaves_its_stacks_and_is_killed() -> None:
    dog = ready(watchdog(patience=Patience(stall_s=10.0)), 105.0)
    assert signals(run_until(dog, 1000.0)) == [
        (15.0, signal.SIGCONT, Target.GROUP),
        (15.0, None, Target.STACKS),
        (20.0, signal.SIGABRT, Target.GROUP),
        (30.0, signal.SIGKILL, Target.GROUP),
    ]
    assert dog.ending is Ending.HANG


def test_each_sign_of_life_puts_the_hang_off() -> None:
    dog = ready(watchdog(patience=Patience(stall_s=10.0)), 105.0)
    for now_s in (110.0, 119.0, 128.0):
        assert run_until(dog, now_s) == []
        dog.notified(now_s, ready=False, progress=False, allowance_s=None)
    assert dog.due_s() == 138.0


def test_a_child_that_asked_for_time_is_given_it() -> None:
    dog = ready(watchdog(patience=Patience(stall_s=10.0)), 105.0)
    dog.notified(106.0, ready=False, progress=False, allowance_s=600.0)
    assert dog.due_s() == 706.0


def test_the_output_of_a_child_that_speaks_is_no_sign_of_life() -> None:
    dog = ready(watchdog(patience=Patience(stall_s=10.0)), 105.0)
    dog.output(114.0)
    assert dog.due_s() == 115.0
    silent = watchdog(patience=Patience(stall_s=10.0))
    silent.output(114.0)
    assert silent.due_s() == 124.0


def test_a_start_has_an_allowance_of_its_own() -> None:
    assert watchdog(patience=Patience(stall_s=10.0, startup_s=300.0)).due_s() == 400.0
    assert watchdog(patience=Patience(stall_s=10.0)).due_s() == 200.0
    assert watchdog(patience=Patience(startup_s=300.0)).due_s() == 400.0


def test_without_an_option_the_silences_that_were_seen_are_the_measure() -> None:
    seen = Rhythm()
    for _ in range(9):
        seen = seen.heard(30.0)
    assert ready(watchdog(seen), 101.0).due_s() is None
    assert ready(watchdog(seen.heard(1.0)), 101.0).due_s() == 101.0 + 300.0
    quick = Rhythm(gaps=50, longest_gap_s=0.5)
    assert ready(watchdog(quick), 101.0).due_s() == 101.0 + 120.0
    assert ready(watchdog(quick, patience=Patience(enabled=False)), 101.0).due_s() is None
    mute = watchdog(quick)
    mute.output(101.0)
    assert mute.due_s() is None


def test_a_start_is_not_counted_among_the_silences() -> None:
    dog = watchdog()
    dog.notified(500.0, ready=True, progress=False, allowance_s=None)
    dog.notified(501.0, ready=False, progress=True, allowance_s=None)
    assert dog.pulse.rhythm == Rhythm(gaps=1, longest_gap_s=1.0)


def test_a_stopped_child_is_woken_instead_of_ended() -> None:
    dog = ready(watchdog(patience=Patience(stall_s=10.0)), 105.0)
    assert dog.act(115.0, stopped=True) == [Step(0.0, signal.SIGCONT, Target.GROUP)]
    assert dog.ending is None
    assert dog.due_s() == 125.0


def test_a_stopped_child_is_woken_after_half_a_minute_where_nothing_is_limited() -> None:
    dog = watchdog()
    assert dog.look(110.0, stopped=True) == []
    assert dog.look(139.0, stopped=True) == []
    assert dog.look(140.0, stopped=True) == [Step(0.0, signal.SIGCONT, Target.GROUP)]
    assert dog.look(141.0, stopped=False) == []


def test_the_deadline_leaves_time_to_save_the_work() -> None:
    dog = watchdog(deadline_s=200.0, grace_s=30.0)
    assert signals(run_until(dog, 1000.0)) == [
        (70.0, signal.SIGTERM, Target.LEADER),
        (95.0, signal.SIGTERM, Target.GROUP),
        (100.0, signal.SIGKILL, Target.GROUP),
    ]
    assert (dog.stop, dog.ending) == (StopReason.DEADLINE, None)


def test_sigterm_goes_down_the_ladder() -> None:
    dog = watchdog(grace_s=10.0)
    assert dog.on_signal(signal.SIGTERM, 103.0) == []
    assert signals(run_until(dog, 1000.0)) == [
        (3.0, signal.SIGTERM, Target.LEADER),
        (8.0, signal.SIGTERM, Target.GROUP),
        (13.0, signal.SIGKILL, Target.GROUP),
    ]
    assert dog.stop is StopReason.DRAIN


def test_ctrl_c_is_followed_by_sigterm_and_sigkill_when_it_is_typed_again() -> None:
    dog = watchdog()
    assert dog.on_signal(signal.SIGINT, 101.0) == []
    assert [step.signal for _, step in run_until(dog, 101.0)] == [signal.SIGINT]
    assert dog.on_signal(signal.SIGINT, 102.0) == [Step(0.0, signal.SIGTERM, Target.GROUP)]
    assert dog.on_signal(signal.SIGINT, 103.0) == [Step(0.0, signal.SIGKILL, Target.GROUP)]
    assert dog.stop is StopReason.USER


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_is_passed_on_and_ends_nothing(number: signal.Signals) -> None:
    dog = watchdog()
    assert dog.on_signal(number, 101.0) == [Step(0.0, number, Target.LEADER)]
    assert dog.stop is StopReason.WARNED
    assert dog.due_s() is None


def test_after_a_warning_a_sigterm_still_counts() -> None:
    dog = watchdog()
    dog.on_signal(signal.SIGUSR1, 101.0)
    dog.on_signal(signal.SIGTERM, 102.0)
    assert (dog.stop, dog.due_s()) == (StopReason.DRAIN, 102.0)


def test_a_child_that_was_asked_to_end_is_watched_for_nothing_else() -> None:
    dog = ready(watchdog(patience=Patience(timeout_s=60, stall_s=5), strike=Strike(Harm.SEGV, 4.0)), 101.0)
    dog.on_signal(signal.SIGTERM, 102.0)
    assert {step.signal for _, step in run_until(dog, 1000.0)} == {signal.SIGTERM, signal.SIGKILL}
    assert (dog.ending, dog.struck) == (None, None)


def test_chaos_strikes_a_child_that_is_at_work() -> None:
    dog = watchdog(strike=Strike(Harm.HANG, 4.0))
    dog.notified(101.0, ready=False, progress=False, allowance_s=None)
    assert dog.due_s() is None
    dog.notified(110.0, ready=False, progress=True, allowance_s=None)
    assert dog.due_s() is None
    ready(dog, 120.0)
    assert signals(run_until(dog, 1000.0)) == [(24.0, signal.SIGSTOP, Target.LEADER)]
    assert dog.struck == Strike(Harm.HANG, 4.0)


def test_chaos_strikes_a_child_that_says_nothing_by_the_clock_alone() -> None:
    assert signals(run_until(watchdog(strike=Strike(Harm.TERM, 4.0)), 1000.0)) == [(4.0, signal.SIGTERM, Target.LEADER)]
