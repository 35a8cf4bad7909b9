"""Spreads, the rule on the interpreter lane, and what the choice of lanes makes of a measurement."""

from math import comb

import msgspec
import pytest
from lane_results import lane, times

from laneway._core.lane_choice import LaneFacts, choose
from laneway._core.lane_times import LaneTimes, TaskTimes, duration, objection, spread_of
from laneway._core.model import TaskSpec

LANES = frozenset({"loop", "thread", "interpreter", "process"})
CPU = TaskSpec("burn", "m:burn", cpu=True)


@pytest.mark.parametrize("count", range(6, 60))
def test_the_range_of_a_median_is_the_narrowest_with_at_least_95_percent(count: int) -> None:
    found = spread_of([float(one) for one in range(count)])
    cut = int(found.low)

    def confidence(outside: int) -> float:
        below = sum(comb(count, one) for one in range(outside + 1))
        return 1 - 2 * below / float(2**count)

    assert found.high == count - 1 - cut
    assert confidence(cut) >= 0.95
    assert confidence(cut + 1) < 0.95


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [5.0, 1.0, 3.0, 2.0, 4.0]])
def test_with_fewer_than_six_values_the_range_is_all_that_was_seen(values: list[float]) -> None:
    found = spread_of(values)
    assert (found.low, found.high) == (min(values), max(values)) == (found.least, found.most)


def test_the_median_of_an_even_number_of_values_is_between_the_middle_two() -> None:
    assert spread_of([4.0, 1.0, 2.0, 9.0]).median == 3.0


@pytest.mark.parametrize(
    ("ratio", "passes"), [(0.5, True), (1.0, True), (1.15, True), (1.151, False), (3.0, False)]
)
def test_the_interpreter_lane_may_be_15_percent_slower_and_no_more(ratio: float, passes: bool) -> None:
    against = objection(times(lane("interpreter", ratio)), "interpreter")
    assert (against is None) is passes


def test_a_ratio_that_is_no_number_does_not_pass() -> None:
    assert objection(times(lane("interpreter", float("nan"))), "interpreter") is not None


def test_a_call_shorter_than_its_hand_over_speaks_against_the_lane_however_fast_it_was() -> None:
    found = times(lane("interpreter", 0.6, handover=2e-5), call=1e-5)
    assert "less than the 20 µs" in str(objection(found, "interpreter"))


def test_speedup_and_change_say_the_same_in_two_ways() -> None:
    found = lane("interpreter", 0.5)
    assert (found.speedup, found.change_percent) == (2.0, -50.0)


def chosen(
    measured: TaskTimes | None, spec: TaskSpec = CPU, refusals: dict[str, str] | None = None
) -> tuple[str, str]:
    choice = choose(spec, LaneFacts(refusals or {}, LANES, measured))
    return choice.lane, choice.reason


def test_a_measured_gain_is_part_of_the_reason() -> None:
    where, why = chosen(times(lane("interpreter", 0.52)))
    assert where == "interpreter"
    assert "measured 1.92 times as fast as inline" in why


def test_a_slow_interpreter_lane_sends_cpu_tasks_to_threads() -> None:
    where, why = chosen(times(lane("thread", 1.0), lane("interpreter", 1.4), lane("process", 1.3)))
    assert where == "thread"
    assert "1.40 times as long as inline" in why


def test_processes_take_over_where_they_were_measured_to_be_faster() -> None:
    where, why = chosen(times(lane("thread", 1.0), lane("interpreter", 8.0), lane("process", 0.55)))
    assert where == "process"
    assert "8.00 times as long" in why
    assert "1.82 times as fast" in why


@pytest.mark.parametrize("status", ["failed", "differs"])
def test_a_lane_that_failed_or_gave_other_results_is_not_taken(status: str) -> None:
    bad = msgspec.structs.replace(lane("interpreter", 0.5), status=status, ratio=None)
    assert chosen(times(lane("thread", 1.0), bad))[0] == "thread"


def test_a_lane_that_was_refused_when_it_was_measured_is_judged_by_the_refusal_of_today() -> None:
    refused = LaneTimes("interpreter", "refused", "native module")
    assert chosen(times(refused))[0] == "interpreter"
    assert chosen(times(refused), refusals={"interpreter": "native module"})[0] == "process"


def test_where_the_interpreter_lane_runs_on_processes_their_times_decide() -> None:
    found = times(lane("thread", 1.0), lane("interpreter", 0.5), lane("process", 2.0))
    facts = LaneFacts({}, LANES, found, on_processes=True)
    assert choose(CPU, facts).lane == "thread"
    assert choose(CPU, facts._replace(on_processes=False)).lane == "interpreter"


@pytest.mark.parametrize(
    "spec",
    [CPU._replace(lane="interpreter"), TaskSpec("plain", "m:plain"), TaskSpec("co", "m:co", is_async=True)],
)
def test_measuring_changes_nothing_for_tasks_that_ask_for_a_lane_or_are_not_marked_cpu(
    spec: TaskSpec,
) -> None:
    assert chosen(times(lane("interpreter", 9.0)), spec) == chosen(None, spec)


def test_a_record_survives_json_with_what_follows_from_it() -> None:
    found = times(lane("interpreter", 0.5), LaneTimes("process", "refused", "no"))
    data = found.as_data()
    assert data["lanes"][0]["speedup"] == 2.0
    assert data["lanes"][0]["change_percent"] == -50.0
    assert "speedup" not in data["lanes"][1]
    assert msgspec.json.decode(msgspec.json.encode(data), type=TaskTimes) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.34e-7, "0.234 µs"),
        (1.5e-5, "15 µs"),
        (0.0123, "12.3 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (1234.5, "1234 s"),
    ],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
