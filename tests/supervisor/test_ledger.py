import pytest

from supervisor.ledger import Ledger, Span, ledger


def test_what_crashes_have_cost() -> None:
    spans = [
        Span("segfault", 0.0, 50.0, working_s=10.0, first_new_s=12.0, last_commit_s=40.0),
        Span("sigkill", 51.0, 55.0, working_s=54.0),
        Span("sigkill", 60.0, 90.0, working_s=65.0, first_new_s=70.0, last_commit_s=85.0),
        Span(None, 92.0, 100.0, working_s=94.0, first_new_s=95.0, last_commit_s=100.0),
    ]
    found = ledger(spans, 100.0)
    assert found.attempts == 4
    assert found.failures == {"segfault": 1, "sigkill": 2}
    assert found.recovery_s == (20.0, 5.0)
    assert found.median_recovery_s == 12.5
    assert found.useful_share == pytest.approx((30 + 20 + 6) / 100)
    assert found.lost_s == pytest.approx(44.0)


def test_nothing_is_claimed_of_a_command_that_reports_no_samples() -> None:
    assert ledger([Span("abort", 0.0, 5.0), Span(None, 6.0, 9.0)], 9.0) == Ledger(2, {"abort": 1}, 9.0)


def test_an_attempt_that_was_never_ready_by_its_own_words_works_from_its_start() -> None:
    found = ledger([Span(None, 2.0, 10.0, first_new_s=4.0, last_commit_s=10.0)], 10.0)
    assert found.useful_share == pytest.approx(0.8)
