"""A shared rate's record of what was taken, against a list of everything ever taken."""

from hypothesis import given
from hypothesis import strategies as st

from laneway._core.rate_window import Taken, counting, taken, wait_for


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.sampled_from([0.5, 1.0, 2.0])), max_size=60),
    per=st.sampled_from([0.5, 1.0, 10.0]),
)
def test_no_period_ever_sees_more_than_the_rate_and_nobody_waits_much_longer_than_needed(
    steps: list[tuple[float, float]], per: float
) -> None:
    capacity = 3.0
    now, window = 100.0, list[Taken]()
    everything: list[tuple[float, float]] = []
    for pause, amount in steps:
        now += pause
        window = counting(window, now, per)
        wait = wait_for(amount, window, now, capacity=capacity, per=per)
        lately = [(when, much) for when, much in everything if when + per > now]
        fits = sum(much for _, much in lately) + amount <= capacity + 1e-9
        assert not (wait == 0 and not fits)
        if wait:
            assert wait <= per * 1.01
            now += wait
            window = counting(window, now, per)
            assert wait_for(amount, window, now, capacity=capacity, per=per) <= 1e-9
        window = taken(amount, window, now, per=per)
        everything.append((now, amount))


def test_many_small_takings_make_a_short_record_that_counts_them_all() -> None:
    now, window = 0.0, list[Taken]()
    for _ in range(100_000):
        now += 0.0001
        window = taken(0.25, counting(window, now, 10.0), now, per=10.0)
    assert len(window) <= 1001
    assert sum(one.amount for one in window) == 25_000
    assert counting(window, now + 10.0, 10.0) == []


def test_takings_of_a_clock_that_was_set_anew_count_for_one_period() -> None:
    window = [Taken(5000.0, 5000.0, 2.0)]
    assert counting(window, 10.0, 1.0) == [Taken(10.0, 10.0, 2.0)]
