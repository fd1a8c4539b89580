"""Which examples a prompt starts with."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.fewshot import draw
from tests.evaluate.support import problems, samples

POOL = samples(problems(20))
SEEDS = st.integers(-(2**40), 2**40)


@given(size=st.integers(1, 40), data=st.data(), seed=SEEDS)
def test_examples_differ_and_are_never_the_sample_itself(size: int, data: st.DataObject, seed: int) -> None:
    pool = samples(problems(size))
    sample = data.draw(st.sampled_from(pool))
    count = data.draw(st.integers(0, size - 1))
    drawn = draw(pool, count, sample, seed)
    assert len({each.sample_id for each in drawn}) == len(drawn) == count
    assert sample not in drawn
    assert all(each in pool for each in drawn)


@given(seed=SEEDS, noise=st.integers())
def test_a_draw_depends_on_seed_and_sample_and_nothing_else(seed: int, noise: int) -> None:
    before = draw(POOL, 5, POOL[3], seed)
    random.seed(noise)
    draw(POOL, 2, POOL[4], seed)
    assert draw(POOL, 5, POOL[3], seed) == before


def test_drawing_leaves_the_global_generator_alone() -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    draw(POOL, 5, POOL[0], 42)
    assert random.random() == expected


def test_the_draw_is_the_same_on_every_machine_and_python() -> None:
    """A run may be resumed elsewhere: its prompts must not change. A new algorithm needs a new task version."""
    assert [each.idx for each in draw(POOL, 5, POOL[0], 42)] == [4, 17, 8, 9, 14]
    assert [each.idx for each in draw(POOL, 5, POOL[7], 42)] == [11, 8, 13, 17, 2]
    assert [each.idx for each in draw(POOL, 5, POOL[0], 43)] == [7, 5, 4, 1, 2]


def test_every_other_sample_is_drawn_about_equally_often() -> None:
    counts = Counter(each.idx for seed in range(2000) for each in draw(POOL, 5, POOL[0], seed))
    assert set(counts) == set(range(1, 20))
    # 2000 draws of 5 out of 19: 526 each, with a standard deviation of 20.
    assert all(426 < count < 626 for count in counts.values())


def test_the_sample_is_known_by_its_content_not_its_position() -> None:
    (twin,) = samples([POOL[3].row])
    pool = POOL[2:5]
    assert all(POOL[3] not in draw(pool, 2, twin, seed) for seed in range(50))


def test_copies_of_the_sample_leave_room_for_the_others() -> None:
    row = POOL[0].row
    pool = samples([row] * 30 + [each.row for each in POOL])
    for seed in range(100):
        drawn = draw(pool, 5, pool[0], seed)
        assert len(drawn) == 5
        assert all(each.row != row for each in drawn)


@pytest.mark.parametrize(("size", "there"), [(3, 2), (5, 4), (1, 0)])
def test_a_pool_that_is_too_small_without_the_sample_is_an_error(size: int, there: int) -> None:
    with pytest.raises(ValueError, match=f"5 few-shot examples are wanted, and there are only {there} other samples"):
        draw(POOL[:size], 5, POOL[0], 42)


def test_a_pool_without_the_sample_may_be_drawn_whole() -> None:
    assert {each.idx for each in draw(POOL[:5], 5, POOL[9], 42)} == {0, 1, 2, 3, 4}
