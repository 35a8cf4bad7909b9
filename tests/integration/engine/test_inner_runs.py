"""`await context.run(...)`: a step that waits for another run, and finds it again when it runs again."""

import asyncio
from pathlib import Path
from typing import Any

import inner_steps
import pytest

from laneway import Context, Engine, Pool, RunFailed, Workflow, subworkflow, task, wait_for_signal
from laneway.engine.handle import RunInterrupted
from laneway.nesting import InnerRunRefused


@task
async def doubled(n: int) -> int:
    return 2 * n


INNER = Workflow("inner", [doubled])


async def test_a_step_runs_a_workflow_and_goes_on_with_its_result(engine: Engine) -> None:
    @task
    async def outer(context: Context) -> None:
        result = await context.run(INNER, {"n": context["n"]})
        context["found"] = result.context["doubled"]

    result = await engine.run(Workflow("outer", [outer]), {"n": 21})
    assert result.context == {"n": 21, "found": 42}
    inner, above = await engine.find()
    assert (inner["workflow"], inner["parent"], inner["parent_task"]) == ("inner", above["id"], "outer")


async def test_many_at_once_are_kept_apart_by_what_they_start_with(engine: Engine) -> None:
    @task
    async def outer(context: Context) -> dict[str, Any]:
        results = await asyncio.gather(*(context.run(INNER, {"n": n % 3}) for n in range(9)))
        return {"all": [one.context["doubled"] for one in results], "runs": len({one.id for one in results})}

    result = await engine.run(Workflow("outer", [outer]))
    assert result.context == {"all": [0, 2, 4] * 3, "runs": 3}
    assert len(await engine.find(workflow="inner")) == 3


async def test_a_key_makes_equal_calls_different_runs(engine: Engine) -> None:
    @task
    async def outer(context: Context) -> dict[str, Any]:
        results = [await context.run(INNER, {"n": 1}, key=key) for key in ("a", "b", "a")]
        return {"ids": [one.id for one in results]}

    first, second, third = (await engine.run(Workflow("outer", [outer]))).context["ids"]
    assert first == third != second


async def test_items_of_a_map_have_runs_of_their_own(engine: Engine) -> None:
    @task
    async def numbers() -> list[int]:
        return [1, 2, 3]

    @task(each="numbers")
    async def outer(context: Context) -> None:
        await context.run(INNER, {"n": 5})

    await engine.run(Workflow("outer", [numbers, outer]))
    assert len(await engine.find(workflow="inner")) == 3


async def test_a_failed_inner_run_fails_the_step_and_another_attempt_goes_on_with_it(engine: Engine) -> None:
    tries: list[str] = []

    @task
    async def once() -> int:
        tries.append("once")
        return 1

    @task
    async def at_last(once: int) -> int:
        tries.append("at_last")
        if tries.count("at_last") < 3:
            raise ValueError("not yet")
        return once

    inner = Workflow("inner", [once, at_last])

    @task(retries=1)
    async def outer(context: Context) -> dict[str, Any]:
        return {"found": (await context.run(inner)).context["at_last"]}

    flow = Workflow("outer", [outer])
    with pytest.raises(RunFailed, match="not yet") as caught:
        await engine.run(flow)
    assert caught.value.result.error["task"] == "outer"
    assert tries == ["once", "at_last", "at_last"]
    again = await engine.retry(caught.value.result, flow)
    assert (await again.result()).context["found"] == 1
    assert tries == ["once", "at_last", "at_last", "at_last"]
    assert len(await engine.find(workflow="inner")) == 1


async def test_a_task_may_handle_the_failure_of_an_inner_run(engine: Engine) -> None:
    @task
    async def fails() -> int:
        raise ValueError("no")

    @task
    async def outer(context: Context) -> dict[str, Any]:
        try:
            await context.run(Workflow("inner", [fails]))
        except RunFailed as error:
            return {"said": error.result.error["message"]}
        return {}

    assert (await engine.run(Workflow("outer", [outer]))).context == {"said": "no"}


@pytest.mark.parametrize("how", ["cancelled", "timeout", "given up"])
async def test_an_inner_run_ends_with_the_step_that_waits_for_it(engine: Engine, how: str) -> None:
    begun = asyncio.Event()

    @task
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    inner = Workflow("inner", [endless])

    @task(timeout=2 if how == "timeout" else None)
    async def outer(context: Context) -> None:
        waiting = asyncio.ensure_future(context.run(inner))
        await begun.wait()
        if how == "given up":
            waiting.cancel()
        await waiting

    handle = await engine.start(Workflow("outer", [outer]))
    await begun.wait()
    if how == "cancelled":
        await handle.cancel()
    assert (await handle.result(check=False)).status == ("cancelled" if how == "cancelled" else "failed")
    (found,) = await engine.find(workflow="inner")
    assert found["status"] == "cancelled"


async def test_a_suspended_inner_run_is_waited_for(engine: Engine) -> None:
    @task
    async def asked() -> Any:
        return wait_for_signal("answer")

    @task
    async def outer(context: Context) -> dict[str, Any]:
        return {"said": (await context.run(Workflow("inner", [asked]))).context["asked"]}

    handle = await engine.start(Workflow("outer", [outer]))
    while not (found := await engine.find(workflow="inner", status="suspended")):
        await asyncio.sleep(0.01)
    await engine.signal(found[0]["id"], "answer", "yes")
    assert (await handle.result()).context == {"said": "yes"}


async def test_after_a_restart_the_step_finds_what_it_began(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/laneway.db"
    calls: list[str] = []
    gate = asyncio.Event()

    @task
    async def quick() -> int:
        calls.append("quick")
        return 1

    @task
    async def slow() -> int:
        calls.append("slow")
        await gate.wait()
        return 2

    @task
    async def outer(context: Context) -> dict[str, Any]:
        calls.append("outer")
        one = await context.run(Workflow("one", [quick]))
        two = await context.run(Workflow("two", [slow]))
        return {"sum": one.context["quick"] + two.context["slow"]}

    flow = Workflow("outer", [outer])
    async with asyncio.timeout(20):
        async with Engine(store, grace=0.05) as engine:
            handle = await engine.start(flow)
            while "slow" not in calls:
                await asyncio.sleep(0.01)
        with pytest.raises(RunInterrupted):
            await handle.result()
        gate.set()
        async with Engine(store) as engine:
            result = await (await engine.resume(handle.id, flow)).result()
            assert result.context == {"sum": 3}
            assert len(await engine.find()) == 3
    assert calls == ["outer", "quick", "slow", "outer", "slow"]


@pytest.mark.parametrize("how", ["context.run", "subworkflow"])
async def test_a_closing_engine_leaves_outer_and_inner_run_to_go_on_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    begun = asyncio.Event()

    @task
    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    inner = Workflow("inner", [waits])

    @task
    async def outer(context: Context) -> None:
        await context.run(inner)

    store = f"sqlite:///{tmp_path}/laneway.db"
    async with asyncio.timeout(20), Engine(store, grace=0.05) as engine:
        await engine.start(Workflow("outer", [outer if how == "context.run" else subworkflow(inner)]))
        await begun.wait()
    async with Engine(store) as engine:
        assert [one["status"] for one in await engine.find()] == ["running", "running"]
    assert not caplog.records


@pytest.mark.parametrize("asks", [inner_steps.on_thread, inner_steps.on_interpreter])
async def test_only_coroutines_on_the_loop_can_wait(engine: Engine, asks: Any) -> None:
    error = (await engine.run(Workflow("outer", [asks]), check=False)).error
    assert error is not None
    assert error["type"] == "InnerRunRefused"
    assert f"task {asks.__name__!r} cannot run a workflow from within" in error["message"]
    assert "subworkflow(flow)" in error["message"]


async def test_what_the_inner_run_may_need_is_not_held_meanwhile(store: str) -> None:
    @task(pool="gpu")
    async def pooled(context: Context) -> None:
        await context.run(INNER, {"n": 1})

    @task
    async def limited(context: Context) -> None:
        await context.run(INNER, {"n": 1})

    async with Engine(store, pools=[Pool("gpu", slots=1)], limits={"task:limited": 1}) as engine:
        first = (await engine.run(Workflow("one", [pooled]), check=False)).error
        second = (await engine.run(Workflow("two", [limited]), check=False)).error
    assert "it holds the pool 'gpu' meanwhile" in (first or {"message": ""})["message"]
    assert "it holds a place of a limit meanwhile" in (second or {"message": ""})["message"]


async def test_outside_of_a_run_there_is_nothing_to_run_in() -> None:
    with pytest.raises(InnerRunRefused, match="outside of a run"):
        await Context({}).run(INNER)
