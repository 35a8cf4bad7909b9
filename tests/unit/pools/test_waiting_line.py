"""The order in which those who wait are served."""

from hypothesis import given, settings
from hypothesis import strategies as st

from laneway._core.waiting_line import WaitingLine


def drained(line: WaitingLine) -> list[int]:
    served: list[int] = []
    while (ticket := line.pop()) is not None:
        served.append(ticket)
    return served


def test_equals_are_served_in_the_order_they_came() -> None:
    line = WaitingLine()
    for ticket in range(10):
        line.add(ticket)
    assert drained(line) == list(range(10))


def test_higher_priority_goes_first() -> None:
    line = WaitingLine()
    line.add(1, priority=0)
    line.add(2, priority=5)
    line.add(3, priority=-5)
    assert drained(line) == [2, 1, 3]


def test_waiting_makes_up_for_priority() -> None:
    line = WaitingLine(ageing=10)
    line.add(1, priority=0, now=0.0)
    line.add(2, priority=3, now=29.0)
    line.add(3, priority=3, now=31.0)
    assert drained(line) == [2, 1, 3]


def test_keys_take_turns_however_many_one_of_them_has() -> None:
    line = WaitingLine()
    for ticket in range(6):
        line.add(ticket, key="greedy")
    line.add(10, key="modest")
    line.add(11, key="modest")
    assert drained(line) == [0, 10, 1, 11, 2, 3, 4, 5]


def test_a_key_that_comes_late_is_not_made_to_wait_for_the_past() -> None:
    line = WaitingLine()
    for ticket in range(100):
        line.add(ticket, key="greedy")
    for _ in range(50):
        line.pop()
    line.add(1000, key="late")
    line.pop()
    assert line.pop() == 1000


def test_priority_counts_within_a_key_and_not_across_keys() -> None:
    line = WaitingLine()
    line.add(1, key="a", priority=9)
    line.add(2, key="a", priority=10)
    line.add(3, key="b", priority=0)
    assert drained(line) == [2, 3, 1]


def test_who_left_is_not_served() -> None:
    line = WaitingLine()
    for ticket in range(4):
        line.add(ticket, key=str(ticket % 2))
    assert line.discard(0)
    assert not line.discard(0)
    assert len(line) == 3
    assert sorted(drained(line)) == [1, 2, 3]
    assert not line._heaps


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-3, 3), st.sampled_from("abc")),
        st.tuples(st.just("pop"), st.just(0), st.just("")),
        st.tuples(st.just("leave"), st.integers(0, 30), st.just("")),
    ),
    max_size=60,
)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_everybody_is_served_once_and_in_rank_within_a_key(steps: list[tuple[str, int, str]]) -> None:
    line, now = WaitingLine(ageing=2.0), 0.0
    model: dict[int, tuple[str, float, int]] = {}
    for number, (what, value, key) in enumerate(steps):
        now += 1.0
        if what == "add":
            line.add(number, priority=value, now=now, key=key)
            model[number] = (key, now - 2.0 * value, number)
        elif what == "leave":
            assert line.discard(value) == (model.pop(value, None) is not None)
        else:
            served = line.pop()
            assert (served is None) == (not model)
            if served is not None:
                key = model[served][0]
                assert served == min(
                    (one for one in model if model[one][0] == key), key=lambda one: model[one][1:]
                )
                del model[served]
        assert len(line) == len(model)
