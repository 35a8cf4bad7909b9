"""Pools, limits, priority, fairness and backpressure in an engine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from laneway import Backpressure, Engine, Pool, Workflow, WorkflowInvalid, task
from laneway._core.errors import SettingInvalid

inside = 0
most = 0
order: list[str] = []
gate = asyncio.Event()
lock = threading.Lock()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global inside, most, gate
    inside = most = 0
    gate = asyncio.Event()
    order.clear()


async def used(name: str = "") -> None:
    global inside, most
    inside += 1
    most = max(most, inside)
    order.append(name)
    await asyncio.sleep(0.001)
    inside -= 1


@task
async def numbers(n: int) -> list[int]:
    return list(range(n))


@task(each="numbers", pool="gpu")
async def render(numbers: int) -> int:
    await used()
    return numbers


@task(each="numbers", pool="memory:40", lane="thread")
def crunch(numbers: int) -> int:
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    with lock:
        inside -= 1
    return numbers


@task(pool="gpu")
async def waits(name: str) -> str:
    order.append(name)
    await gate.wait()
    return name


@task(pool="gpu", retries=2)
async def unlucky(name: str) -> str:
    order.append(name)
    raise ValueError("as meant")


@task(pool="gpu", timeout=0.02)
async def hangs() -> None:
    await asyncio.Event().wait()


@task(lane="thread")
def in_thread(name: str) -> str:
    order.append(name)
    threading.Event().wait(0.002)
    return name


rendering = Workflow("rendering", [numbers, render])
crunching = Workflow("crunching", [numbers, crunch])
waiting = Workflow("waiting", [waits])
threaded = Workflow("threaded", [in_thread])


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    pools = [Pool("gpu", slots=2), Pool("memory", budget=100)]
    async with Engine("memory://", pools=pools, grace=0) as opened:
        yield opened


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_steps_hold_their_pool_while_they_run(engine: Engine) -> None:
    result = await engine.run(rendering, {"n": 40})
    assert result.context["render"] == list(range(40))
    assert most == 2
    assert engine.pools["gpu"].report().used == 0
    assert engine.pools["gpu"].report().granted == 40


async def test_a_step_may_hold_more_than_one_of_a_budget(engine: Engine) -> None:
    result = await engine.run(crunching, {"n": 20})
    assert result.context["crunch"] == list(range(20))
    assert most <= 2
    assert engine.pools["memory"].report().used == 0


async def test_an_unknown_pool_is_refused_before_anything_runs_with_the_nearest_name(engine: Engine) -> None:
    @task(pool="gpus")
    async def wrong() -> None: ...

    @task(pool="memory:101")
    async def too_much() -> None: ...

    @task(pool="memory:lots")
    async def vague() -> None: ...

    with pytest.raises(WorkflowInvalid) as caught:
        await engine.run(Workflow("wrong", [wrong, too_much, vague]))
    assert len(caught.value.problems) == 3
    assert "did you mean 'gpu'?" in str(caught.value)
    assert "has 100" in str(caught.value)


async def test_failures_retries_timeouts_and_cancellation_give_the_pool_back(engine: Engine) -> None:
    await engine.run(Workflow("unlucky", [unlucky]), {"name": "x"}, check=False)
    await engine.run(Workflow("hangs", [hangs]), check=False)
    handles = [await engine.start(waiting, {"name": str(number)}) for number in range(4)]
    await until(lambda: engine.pools["gpu"].report().waiting == 2)
    for handle in reversed(handles):
        await handle.cancel()
    report = engine.pools["gpu"].report()
    assert (report.used, report.waiting) == (0, 0)


async def test_steps_that_wait_for_a_pool_leave_their_lane_to_others() -> None:
    @task(lane="thread", pool="one")
    def pooled(name: str) -> str:
        return name

    pool = Pool("one", slots=1)
    async with Engine("memory://", pools=[pool], grace=0) as engine:
        async with pool:
            blocked = [await engine.start(Workflow("p", [pooled]), {"name": str(one)}) for one in range(50)]
            await until(lambda: pool.report().waiting == 50)
            assert (await engine.run(threaded, {"name": "free"})).status == "succeeded"
        for handle in blocked:
            assert (await handle.result()).status == "succeeded"


async def test_higher_priority_takes_the_pool_first() -> None:
    async with Engine("memory://", pools=[Pool("gpu", slots=1)]) as engine:
        first = await engine.start(waiting, {"name": "first"})
        await until(lambda: order == ["first"])
        low = [await engine.start(waiting, {"name": f"low {one}"}) for one in range(3)]
        high = await engine.start(waiting, {"name": "high"}, priority=5)
        gate.set()
        for handle in (first, *low, high):
            await handle.result()
    assert order == ["first", "high", "low 0", "low 1", "low 2"]


async def test_higher_priority_overtakes_what_waits_for_threads() -> None:
    async with Engine("memory://") as engine:
        low = [await engine.start(threaded, {"name": "low"}) for _ in range(200)]
        high = await engine.start(threaded, {"name": "high"}, priority=3)
        await high.result()
        done = len(order)
        for handle in low:
            await handle.result()
    assert done < 60


async def test_tenants_take_turns_on_a_crowded_lane() -> None:
    async with Engine("memory://", fair_by="name") as engine:
        greedy = [await engine.start(threaded, {"name": "greedy"}) for _ in range(200)]
        modest = [await engine.start(threaded, {"name": "modest"}) for _ in range(10)]
        for handle in modest:
            await handle.result()
        done = len(order)
        for handle in greedy:
            await handle.result()
    assert done < 90


async def test_start_without_waiting_raises_backpressure_when_the_engine_is_full() -> None:
    async with Engine("memory://", max_runs=2, pools=[Pool("gpu", slots=2)], grace=0) as engine:
        handles = [await engine.start(waiting, {"name": str(one)}) for one in range(2)]
        with pytest.raises(Backpressure, match="limit is 2"):
            await engine.start(waiting, {"name": "x"}, wait=False)
        late = asyncio.create_task(engine.start(waiting, {"name": "late"}))
        await asyncio.sleep(0)
        assert not late.done()
        gate.set()
        await (await late).result()
        for handle in handles:
            await handle.result()
        assert (await engine.run(waiting, {"name": "y"})).status == "succeeded"


async def test_those_who_wait_for_room_go_by_priority() -> None:
    async with Engine("memory://", max_runs=1, pools=[Pool("gpu", slots=9)], grace=0) as engine:
        await engine.start(waiting, {"name": "first"})
        await until(lambda: order == ["first"])
        starts = [
            asyncio.create_task(engine.start(waiting, {"name": name}, priority=priority))
            for name, priority in [("a", 0), ("b", 0), ("urgent", 4)]
        ]
        await asyncio.sleep(0)
        gate.set()
        for one in starts:
            await (await one).result()
    assert order == ["first", "urgent", "a", "b"]


async def test_limits_by_workflow_and_by_key() -> None:
    pools = [Pool("gpu", slots=100)]
    async with Engine(
        "memory://", pools=pools, limits={"workflow:waiting": 3, "key:name": 1}, grace=0
    ) as engine:
        starts = [
            asyncio.create_task(engine.start(waiting, {"name": name})) for name in ("a", "a", "b", "c", "d")
        ]
        await until(lambda: len(order) == 3)
        await asyncio.sleep(0)
        assert order == ["a", "b", "c"]
        with pytest.raises(Backpressure):
            await engine.start(waiting, {"name": "a"}, wait=False)
        gate.set()
        for one in starts:
            await (await one).result()
        assert sorted(order) == ["a", "a", "b", "c", "d"]


async def test_a_limit_by_lane_bounds_its_steps() -> None:
    async with Engine("memory://", limits={"lane:loop": 4}, pools=[Pool("gpu", slots=100)]) as engine:
        await engine.run(rendering, {"n": 50})
    assert most == 4


@pytest.mark.parametrize("limits", [{"tenant": 3}, {"flow:x": 1}, {"lane:": 1}, {"lane:loop": 0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SettingInvalid):
        Engine("memory://", limits=limits)


async def test_memory_stays_flat_when_producers_outrun_the_lanes() -> None:
    """Ten thousand starts against an engine that holds twenty: no more than those twenty are ever alive."""
    alive = 0
    async with Engine("memory://", max_runs=20, pools=[Pool("gpu", slots=2)]) as engine:

        async def produce(count: int) -> None:
            nonlocal alive
            for _ in range(count):
                handle = await engine.start(quick, {"n": 1})
                alive = max(alive, len(engine._runs.live))  # type: ignore[union-attr]
                del handle

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(produce(50))
    assert alive <= 20


quick = Workflow("quick", [numbers, render])
