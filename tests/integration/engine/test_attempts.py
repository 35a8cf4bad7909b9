"""What a result tells about attempts that did not end by themselves: where, since when, and what it took."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import stubborn

from laneway import Engine, Retry, Workflow, cancelled, task
from laneway.engine.results import StepResult


@pytest.mark.parametrize(
    ("function", "lane"),
    [(stubborn.counts_in_interpreter, "interpreter"), (stubborn.counts_in_process, "process")],
)
async def test_an_attempt_whose_worker_was_killed_is_told_with_its_times(
    function: Callable[[], None], lane: str
) -> None:
    before = time.time()
    step = await _only_step(function)
    (attempt,) = step.attempts
    assert (attempt.number, attempt.status, attempt.lane) == (1, "failed", lane)
    assert (attempt.stopped_by, step.stopped_by) == ("kill", "kill")
    assert attempt.error is not None
    assert attempt.error.kind == "timeout"
    assert before <= attempt.started < attempt.ended <= time.time()


@pytest.mark.parametrize(
    ("function", "lane"),
    [(stubborn.exits_in_interpreter, "interpreter"), (stubborn.exits_in_process, "process")],
)
async def test_an_attempt_whose_worker_died_is_told_with_its_times(
    function: Callable[[], None], lane: str
) -> None:
    before = time.time()
    step = await _only_step(function)
    (attempt,) = step.attempts
    assert (attempt.status, attempt.lane) == ("failed", lane)
    assert attempt.error is not None
    assert attempt.error.kind == "lost_lane"
    assert before <= attempt.started <= attempt.ended <= time.time()


async def test_a_cancelled_attempt_says_its_lane_its_number_and_what_came_before(engine: Engine) -> None:
    second = asyncio.Event()
    tries: list[int] = []

    @task(lane="loop", retries=1)
    async def fails_then_waits() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("not yet")
        second.set()
        await asyncio.Event().wait()

    handle = await engine.start(Workflow("twice", [fails_then_waits]))
    await second.wait()
    await handle.cancel()
    (step,) = (await engine.result(handle.id)).steps
    assert (step.status, step.lane, step.stopped_by) == ("cancelled", "loop", "ask")
    first, last = step.attempts
    assert (first.number, first.status, first.error and first.error.message) == (1, "failed", "not yet")
    assert (last.number, last.status, last.lane, last.stopped_by) == (2, "cancelled", "loop", "ask")
    assert first.ended <= last.started <= last.ended


async def test_a_step_that_is_cancelled_between_two_attempts_keeps_the_failure(engine: Engine) -> None:

    @task(lane="loop", retry=Retry(attempts=2, backoff=3600, cap=3600))
    async def fails() -> None:
        raise ConnectionError("not yet")

    @task(lane="loop")
    async def keeps_the_run_from_resting() -> None:
        await asyncio.Event().wait()

    handle = await engine.start(Workflow("between", [fails, keeps_the_run_from_resting]))
    async for event in handle.events():
        if event.kind == "step_retrying":
            break
    await handle.cancel()
    (step,) = [one for one in (await engine.result(handle.id)).steps if one.task == "fails"]
    (attempt,) = step.attempts
    assert step.status == "cancelled"
    assert (attempt.status, attempt.error and attempt.error.message) == ("failed", "not yet")


@pytest.mark.parametrize("listens", [True, False])
async def test_a_cancelled_thread_says_whether_it_listened(engine: Engine, listens: bool) -> None:
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @task(lane="thread")
    def works() -> None:
        loop.call_soon_threadsafe(begun.set)
        while not (over.wait(0.01) or (listens and cancelled())):
            pass

    handle = await engine.start(Workflow("thread", [works]))
    await begun.wait()
    try:
        await handle.cancel()
    finally:
        over.set()
    (step,) = (await engine.result(handle.id)).steps
    assert (step.lane, step.stopped_by) == ("thread", "ask" if listens else "quarantine")


@pytest.mark.parametrize("lane", ["loop", "thread"])
async def test_printed_text_that_no_store_can_hold_is_kept_escaped(store: str, lane: str) -> None:
    async def prints() -> None:
        with suppress(UnicodeEncodeError):
            print("half a pair: \ud800")

    async with Engine(store) as engine:
        result = await engine.run(Workflow("prints", [task(lane=lane)(prints)]))
    (step,) = result.steps
    assert "half a pair: \\ud800" in step.output


async def _only_step(function: Callable[..., Any]) -> StepResult:
    async with Engine("memory://") as engine:
        result = await engine.run(Workflow("one", [function]), check=False)
    assert result.status == "failed"
    (step,) = result.steps
    return step
