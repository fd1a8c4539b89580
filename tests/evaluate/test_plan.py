"""Which samples go into which batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.plan import Batch, make_plan

TOTALS, SIZES = st.integers(0, 3000), st.integers(1, 400)


@given(TOTALS, SIZES)
def test_every_sample_is_in_exactly_one_batch_in_order(total: int, size: int) -> None:
    assert [idx for batch in make_plan(total, size) for idx in batch.indices] == list(range(total))


@given(TOTALS, SIZES)
def test_batches_are_numbered_and_full_but_for_the_last(total: int, size: int) -> None:
    plan = make_plan(total, size)
    assert [batch.number for batch in plan] == list(range(len(plan)))
    assert all(len(batch.indices) == size for batch in plan[:-1])
    assert all(1 <= len(batch.indices) <= size for batch in plan)


@given(TOTALS, st.integers(0, 500), SIZES)
def test_more_samples_do_not_change_the_full_batches(total: int, more: int, size: int) -> None:
    full = total // size
    assert make_plan(total + more, size)[:full] == make_plan(total, size)[:full]


def test_a_plan_by_hand() -> None:
    assert make_plan(5, 2) == [Batch(0, 0, 2), Batch(1, 2, 4), Batch(2, 4, 5)]
    assert make_plan(0, 2) == []


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_at_least_one_sample(size: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 sample, not {size}"):
        make_plan(5, size)
