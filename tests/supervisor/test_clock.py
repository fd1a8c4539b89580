from supervisor.clock import AwakeClock


def test_time_in_which_we_were_stopped_does_not_count() -> None:
    times = iter([10.0, 11.0, 12.0, 500.0, 501.0, 505.9])
    clock = AwakeClock(lambda: next(times))
    start_s = clock()
    assert [round(clock() - start_s, 3) for _ in range(4)] == [1.0, 1.0, 2.0, 6.9]
