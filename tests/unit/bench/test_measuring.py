"""Measuring on real lanes: rounds, comparison of outputs, verdicts."""

from collections.abc import Callable
from typing import Any

import bench_tasks
import pytest

from laneway import Engine, Workflow
from laneway._core.lane_times import NotMeasured, TaskTimes
from laneway.assembly import Assembly
from laneway.bench._session import spread_out
from laneway.bench.inputs import collect
from laneway.bench.lanes import Settings, _calls, measure
from laneway.bench.workloads import WORKLOADS
from laneway.engine.target import Target

QUICK = Settings(rounds=2, calls=4)
type Measure = Callable[..., Any]


@pytest.fixture
def measured() -> Measure:
    async def run(task: Any, settings: Settings = QUICK, **context: Any) -> TaskTimes | NotMeasured:
        target = Target(Workflow("one", [task]).spec, None, "test")
        inputs = await collect(target, context, say=lambda _: None)
        (orders,) = inputs.orders.values()
        async with Engine("memory://", grace=0, workers=2) as engine:
            return await measure(
                orders,
                engine.lanes,
                Assembly(engine.lanes),
                workers=2,
                settings=settings,
                say=lambda text, done, total: said.append((text, done, total)),
            )

    said: list[tuple[str, int, int]] = []
    run.said = said  # type: ignore[attr-defined]  # what was told on the way
    return run


def statuses(found: TaskTimes) -> dict[str, str]:
    return {one.lane: one.status for one in found.lanes}


async def test_a_plain_task_is_measured_inline_and_on_three_lanes(measured: Measure) -> None:
    found = await measured(bench_tasks.steady, number=3)
    assert statuses(found) == {"thread": "measured", "interpreter": "measured", "process": "measured"}
    assert (found.calls, found.rounds, found.inputs, found.workers) == (4, 2, 1, 2)
    assert not found.is_failure
    for lane in found.lanes:
        assert lane.all_calls.median > 0
        assert lane.one_call.median >= lane.handover.median >= 0
        assert lane.ratio.median == pytest.approx(1 / lane.speedup)
    assert found.inline.all_calls.least >= 4 * 1e-6
    assert found.warm_up_seconds > found.inline.start > 0


async def test_coroutines_are_measured_on_the_loop_too(measured: Measure) -> None:
    found = await measured(bench_tasks.waits, number=3)
    assert list(statuses(found)) == ["loop", "thread", "interpreter", "process"]
    assert set(statuses(found).values()) == {"measured"}
    assert found.chosen == "loop"


async def test_other_results_on_a_lane_are_a_failure_that_shows_both(measured: Measure) -> None:
    found = await measured(bench_tasks.thread_name, number=1)
    assert statuses(found)["thread"] == "differs"
    assert found.is_failure
    assert found.verdict.startswith("failed: the thread lane gave another result than inline")
    assert '"MainThread"' in found.verdict
    assert '"laneway"' in found.verdict
    assert statuses(found)["process"] == "measured"


async def test_without_comparing_other_results_are_no_failure(measured: Measure) -> None:
    found = await measured(bench_tasks.thread_name, QUICK._replace(compare=False), number=1)
    assert set(statuses(found).values()) == {"measured"}
    assert not found.is_failure


async def test_a_lane_where_the_task_fails_is_a_failure_with_the_reason(measured: Measure) -> None:
    found = await measured(bench_tasks.fragile, QUICK._replace(lanes=("thread", "process")), number=1)
    assert statuses(found) == {"thread": "failed", "process": "measured"}
    assert found.verdict == "failed: the thread lane failed: RuntimeError: not here"


async def test_results_that_change_inline_too_cannot_be_compared_and_say_so(measured: Measure) -> None:
    found = await measured(bench_tasks.counted)
    assert found.is_failure
    assert "changes from call to call, inline too" in found.verdict
    assert set(statuses(found).values()) == {"measured"}


async def test_results_that_change_are_no_failure_where_none_are_compared(measured: Measure) -> None:
    found = await measured(bench_tasks.counted, QUICK._replace(compare=False))
    assert not found.is_failure
    assert "its result changes from call to call, inline too" in found.warnings


async def test_a_small_sample_is_said_to_be_one(measured: Measure) -> None:
    found = await measured(bench_tasks.steady, QUICK._replace(lanes=("thread",)), number=1)
    assert any("fewer than 6 rounds" in one for one in found.warnings)
    enough = await measured(bench_tasks.steady, Settings(rounds=6, calls=2, lanes=("thread",)), number=1)
    assert not any("fewer than 6 rounds" in one for one in enough.warnings)


async def test_when_the_time_is_over_no_further_round_begins_and_that_is_said(measured: Measure) -> None:
    found = await measured(
        bench_tasks.steady, Settings(rounds=10_000, calls=2, seconds=1.0, lanes=("thread",)), number=1
    )
    assert 1 <= found.rounds < 10_000
    assert any(f"only {found.rounds} of 10000 rounds" in one for one in found.warnings)


async def test_a_task_too_slow_for_the_time_says_how_much_it_needs(measured: Measure) -> None:
    found = await measured(bench_tasks.slow, Settings(seconds=0.2), seconds=0.05)
    assert isinstance(found, NotMeasured)
    assert found.reason.startswith("one call takes ")
    assert "--seconds 10" in found.advice


async def test_the_rounds_are_told_one_by_one(measured: Measure) -> None:
    await measured(bench_tasks.steady, Settings(rounds=3, calls=2, lanes=("thread",)), number=1)
    said: list[tuple[str, int, int]] = measured.said  # type: ignore[attr-defined]  # set by the fixture
    assert [(done, total) for text, done, total in said if text == "measuring"] == [(0, 3), (1, 3), (2, 3)]


async def test_a_task_defined_where_no_worker_finds_it_is_not_measured_with_the_reason(
    measured: Measure,
) -> None:
    from laneway import task

    @task
    def local() -> int:
        return 1

    found = await measured(local)
    assert isinstance(found, NotMeasured)
    assert "functions at the top level of a module" in found.reason


@pytest.mark.parametrize("name", WORKLOADS)
async def test_every_workload_gives_equal_outputs_on_every_lane(name: str) -> None:
    work = WORKLOADS[name]
    target = Target(work.workflow.spec, None, "test")
    (orders,) = (await collect(target, work.context(), say=lambda _: None)).orders.values()
    async with Engine("memory://", grace=0, workers=2) as engine:
        found = await measure(
            orders,
            engine.lanes,
            Assembly(engine.lanes),
            workers=2,
            settings=Settings(rounds=1, calls=4),
            say=lambda *_: None,
        )
    assert isinstance(found, TaskTimes)
    assert set(statuses(found).values()) == {"measured"}
    assert not found.is_failure


async def test_an_interpreter_lane_that_is_switched_off_is_not_measured_as_if_it_were_on() -> None:
    target = Target(Workflow("one", [bench_tasks.steady]).spec, None, "test")
    inputs = await collect(target, {"number": 1}, say=lambda _: None)
    async with Engine("memory://", grace=0, workers=1, interpreters=False) as engine:
        found = await measure(
            inputs.orders["steady"],
            engine.lanes,
            Assembly(engine.lanes),
            workers=1,
            settings=QUICK,
            say=lambda *_: None,
        )
    assert isinstance(found, TaskTimes)
    assert statuses(found)["interpreter"] == "refused"
    assert "interpreters are switched off" in found.verdict


@pytest.mark.parametrize(
    ("cost", "inputs", "workers", "calls"),
    [
        (30.0, 1, 2, 2),  # a long one: one for each worker
        (0.5, 1, 2, 4),  # two for each worker at least
        (0.01, 1, 2, 20),  # 0.2 s of them
        (1e-6, 1, 2, 1000),  # not without end
        (0.01, 16, 2, 16),  # each input once
        (0.001, 16, 2, 192),  # each input as often as the others
        (0.1, 200, 4, 8),  # more inputs than there is time for: some of them
    ],
)
def test_a_round_has_as_many_calls_as_fit_it(cost: float, inputs: int, workers: int, calls: int) -> None:
    assert _calls(cost, inputs, workers) == calls


@pytest.mark.parametrize(
    ("count", "among", "numbers"),
    [(3, 9, [1, 4, 7]), (1, 10, [5]), (4, 2, [0, 1, 0, 1]), (3, 3, [0, 1, 2])],
)
def test_some_of_many_inputs_are_spread_evenly(count: int, among: int, numbers: list[int]) -> None:
    assert spread_out(count, among) == numbers
