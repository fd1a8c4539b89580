import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos import Chaos, Harm, Strike

CHAOS = st.builds(
    Chaos,
    st.lists(st.sampled_from(Harm), min_size=1, max_size=5, unique=True).map(tuple),
    every_s=st.floats(0.01, 1000),
    seed=st.integers(),
)


def schedule(chaos: Chaos, length: int = 60) -> list[Strike | None]:
    return [chaos.strike(number) for number in range(length)]


@given(CHAOS)
def test_the_same_seed_gives_the_same_schedule(chaos: Chaos) -> None:
    assert schedule(chaos) == schedule(replace(chaos))


def test_another_seed_gives_another_schedule() -> None:
    chaos = Chaos(tuple(Harm))
    assert schedule(chaos) != schedule(replace(chaos, seed=1))
    assert [strike.harm for strike in schedule(chaos) if strike] != [
        strike.harm for strike in schedule(replace(chaos, seed=1)) if strike
    ]


def test_a_strike_does_not_depend_on_which_were_asked_for_before() -> None:
    chaos = Chaos(tuple(Harm))
    assert [chaos.strike(number) for number in (7, 3, 7)] == [schedule(chaos)[number] for number in (7, 3, 7)]


@given(CHAOS, st.integers(0, 50))
def test_each_round_does_each_harm_once(chaos: Chaos, round_number: int) -> None:
    size = len(chaos.harms)
    strikes = [chaos.strike(round_number * size + at) for at in range(size)]
    assert sorted(strike.harm for strike in strikes if strike) == sorted(chaos.harms)


def test_the_rounds_are_shuffled() -> None:
    harms = [strike.harm for strike in schedule(Chaos(tuple(Harm))) if strike]
    assert len({tuple(harms[at : at + 5]) for at in range(0, 60, 5)}) > 1


@given(CHAOS, st.integers(0, 1000))
def test_the_delay_is_half_to_one_and_a_half_of_the_mean(chaos: Chaos, number: int) -> None:
    strike = chaos.strike(number)
    assert strike is not None
    assert 0.5 * chaos.every_s <= strike.delay_s <= 1.5 * chaos.every_s


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_the_limit_ends_the_harm(limit: int) -> None:
    strikes = schedule(Chaos(tuple(Harm), limit=limit))
    assert [strike is None for strike in strikes] == [False] * limit + [True] * (60 - limit)


@pytest.mark.parametrize(
    ("harm", "number"),
    [
        (Harm.SEGV, signal.SIGSEGV),
        (Harm.KILL, signal.SIGKILL),
        (Harm.ABRT, signal.SIGABRT),
        (Harm.BUS, signal.SIGBUS),
        (Harm.TERM, signal.SIGTERM),
    ],
)
def test_a_harm_is_done_by_its_signal(harm: Harm, number: signal.Signals) -> None:
    assert harm.signal is number
