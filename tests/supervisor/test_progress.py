import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.notify import Report
from supervisor.progress import Progress


def after(*reports: tuple[float, Report], start: Progress | None = None) -> Progress:
    progress = start or Progress()
    for now_s, report in reports:
        progress = progress.updated(report, now_s)
    return progress


def test_nothing_is_known_at_first() -> None:
    progress = Progress()
    assert (progress.done, progress.total, progress.rate_per_s, progress.eta_s) == (None, None, None, None)


def test_the_first_number_is_a_baseline_not_work() -> None:
    progress = after((10.0, Report(done=500, total=1000)))
    assert progress.rate_per_s is None
    assert progress.eta_s is None


def test_the_rate_counts_from_the_baseline() -> None:
    progress = after((10.0, Report(done=500, total=1000)), (15.0, Report(done=510)))
    assert progress.rate_per_s == pytest.approx(2.0)
    assert progress.eta_s == pytest.approx(245.0)


def test_the_work_of_a_new_attempt_is_timed_anew() -> None:
    first = after((0.0, Report(done=0, total=10)), (1.0, Report(done=8)))
    again = first.restarted()
    assert (again.done, again.total, again.rate_per_s) == (8, 10, None)
    later = after((100.0, Report(done=8)), (102.0, Report(done=9)), start=again)
    assert later.rate_per_s == pytest.approx(0.5)
    assert later.eta_s == pytest.approx(2.0)


def test_a_report_of_something_else_changes_no_numbers() -> None:
    progress = after((0.0, Report(done=3, total=9, accuracy=0.5)), (1.0, Report(status="saving")))
    assert (progress.done, progress.total, progress.accuracy, progress.status) == (3, 9, 0.5, "saving")


def test_a_status_does_not_outlive_its_attempt() -> None:
    assert after((0.0, Report(status="loading"))).restarted().status is None


def test_no_rate_without_time_or_work() -> None:
    assert after((1.0, Report(done=1)), (1.0, Report(done=5))).rate_per_s is None
    assert after((1.0, Report(done=5)), (2.0, Report(done=5))).rate_per_s is None
    assert after((1.0, Report(done=5)), (2.0, Report(done=3))).rate_per_s is None


def test_nothing_is_left_when_more_was_done_than_announced() -> None:
    assert after((0.0, Report(done=0, total=5)), (1.0, Report(done=7))).eta_s == 0


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_done_is_the_most_ever_reported(numbers: list[int]) -> None:
    progress = Progress()
    for at, number in enumerate(numbers):
        progress = progress.updated(Report(done=number), float(at))
        assert progress.done == max(numbers[: at + 1])
    assert progress.restarted().done == max(numbers)
