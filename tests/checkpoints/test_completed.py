"""The completed set, against a plain set."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.completed import CompletedSet


def naive_watermark(indices: set[int]) -> int:
    watermark = -1
    while watermark + 1 in indices:
        watermark += 1
    return watermark


@given(st.lists(st.integers(0, 40)))
def test_it_behaves_like_a_set_of_indices(additions: list[int]) -> None:
    completed, plain = CompletedSet(), set[int]()
    for idx in additions:
        if idx in plain:
            with pytest.raises(ValueError, match="already"):
                completed.add(idx)
        else:
            completed.add(idx)
            plain.add(idx)
        assert len(completed) == len(plain)
        assert completed.last_completed_idx == naive_watermark(plain)
    assert [idx for idx in range(-1, 43) if idx in completed] == sorted(plain)


@given(st.sets(st.integers(0, 60)))
def test_its_ranges_are_minimal_and_rebuild_it(indices: set[int]) -> None:
    completed = CompletedSet()
    for idx in indices:
        completed.add(idx)
    ranges = list(completed.ranges())
    assert [idx for start, end in ranges for idx in range(start, end + 1)] == sorted(indices)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(ranges))
    assert list(CompletedSet(ranges).ranges()) == ranges


def test_it_stays_one_range_when_everything_is_done_in_whatever_order() -> None:
    completed = CompletedSet()
    for idx in [*range(0, 1000, 2), *range(999, 0, -2)]:
        completed.add(idx)
    assert list(completed.ranges()) == [(0, 999)]
    assert completed.last_completed_idx == 999


def test_a_negative_index_is_refused_and_leaves_it_unchanged() -> None:
    completed = CompletedSet([(1, 2)])
    with pytest.raises(ValueError, match="at least 0"):
        completed.add(-1)
    assert list(completed.ranges()) == [(1, 2)]


@pytest.mark.parametrize("ranges", [[(2, 1)], [(-1, 2)], [(3, 4), (0, 1)], [(0, 3), (2, 5)], [(0, 1), (2, 3)]])
def test_ranges_that_are_not_sorted_disjoint_and_apart_are_refused(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="disjoint"):
        CompletedSet(ranges)
