"""Limits in an engine: new, nested and resumed runs, and steps of packages."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from package_folders import make_folder

from laneway import Backpressure, Engine, Workflow, subworkflow, task, wait_for_signal
from laneway._core.errors import SettingInvalid

inside: Counter[str] = Counter()
most: Counter[str] = Counter()
gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    inside.clear()
    most.clear()
    gates.clear()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def be_inside(name: str) -> None:
    inside[name] += 1
    most[name] = max(most[name], inside[name])
    try:
        for _ in range(5):
            await asyncio.sleep(0)
        if name in gates:
            await gates[name].wait()
    finally:
        inside[name] -= 1


@task
async def work(name: str) -> str:
    await be_inside(name)
    return name


@task
async def numbers(n: int) -> list[int]:
    return list(range(n))


@task
async def pause(name: str) -> object:
    return wait_for_signal("go")


@task
async def after(name: str, pause: str) -> str:
    await be_inside(name)
    return pause


child = Workflow("child", [work])
parent = Workflow("parent", [subworkflow(child)])
family = Workflow(
    "family", [numbers, subworkflow(child, id="children", inputs={"name": "name"}, each="numbers")]
)
waiting = Workflow("waiting", [pause, after])


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine("memory://", limits={"workflow:child": 2, "workflow:waiting": 1}, grace=0) as opened:
        yield opened


async def test_nested_runs_count_under_the_limit_of_their_workflow(engine: Engine) -> None:
    results = await asyncio.gather(*(engine.run(parent, {"name": "a"}) for _ in range(8)))
    assert {one.status for one in results} == {"succeeded"}
    assert most["a"] == 2


async def test_nested_runs_of_one_parent_wait_for_each_other_and_the_parent_ends(engine: Engine) -> None:
    result = await engine.run(family, {"n": 9, "name": "a"})
    assert len(result.context["children"]) == 9
    assert most["a"] == 2


async def test_a_nested_run_shares_the_place_of_the_run_above_it() -> None:
    async with Engine("memory://", limits={"key:name": 1, "workflow:parent": 1}, grace=0) as engine:
        async with asyncio.timeout(20):
            await asyncio.gather(*(engine.run(parent, {"name": "a"}) for _ in range(3)))
        assert most["a"] == 1


@task
async def hold(name: str) -> str:
    inside["held"] += 1
    await gates["hold"].wait()
    return name


crossing = Workflow("crossing", [hold, subworkflow(child, inputs={"name": "other"}, dependencies=["hold"])])


async def test_runs_that_need_each_others_place_come_to_an_end(caplog: pytest.LogCaptureFixture) -> None:
    gates["hold"] = asyncio.Event()
    async with Engine("memory://", limits={"key:name": 1}, grace=0) as engine:
        running = [
            asyncio.ensure_future(engine.run(crossing, {"name": one, "other": other}))
            for one, other in (("a", "b"), ("b", "a"))
        ]
        await until(lambda: inside["held"] == 2)
        gates["hold"].set()
        async with asyncio.timeout(20):
            assert {(await one).status for one in running} == {"succeeded"}
    assert [one.message for one in caplog.records if "over the limit key:name" in one.message]


async def test_a_run_that_waits_for_room_does_not_lock_one_that_needs_its_place() -> None:
    gates["hold"] = asyncio.Event()
    async with Engine("memory://", limits={"key:name": 1}, max_runs=1, grace=0) as engine:
        first = asyncio.ensure_future(engine.run(crossing, {"name": "a", "other": "b"}))
        await until(lambda: inside["held"] == 1)
        second = asyncio.ensure_future(engine.run(child, {"name": "b"}))
        await asyncio.sleep(0.01)
        gates["hold"].set()
        async with asyncio.timeout(20):
            assert ((await first).status, (await second).status) == ("succeeded", "succeeded")


async def suspended(engine: Engine, names: str) -> list[str]:
    ids = []
    for name in names:
        handle = await engine.start(waiting, {"name": name})
        await handle.settled()
        ids.append(handle.id)
    return ids


async def test_runs_that_go_on_after_a_wait_count_again(engine: Engine) -> None:
    ids = await suspended(engine, "aaaa")
    for run in ids:
        await engine.signal(run, "go", "on")
    for run in ids:
        while (await engine.result(run)).status != "succeeded":
            await asyncio.sleep(0.002)
    assert most["a"] == 1


@pytest.mark.parametrize("how", ["cancel", "pause", "close"])
async def test_a_resumed_run_that_waits_for_its_turn_can_be_stopped(tmp_path: Path, how: str) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url, limits={"workflow:waiting": 1}, grace=0) as engine:
        first, second = await suspended(engine, "ab")
        gates["a"] = asyncio.Event()
        await engine.signal(first, "go")
        await until(lambda: inside["a"] == 1)
        await engine.signal(second, "go")
        await until(lambda: engine.live(second) is not None)
        assert inside["b"] == 0
        if how == "close":
            await engine.close()
        else:
            await getattr(engine, how)(second)
            assert (await engine.result(second)).status == {"cancel": "cancelled", "pause": "paused"}[how]
            gates["a"].set()
            while (await engine.result(first)).status != "succeeded":
                await asyncio.sleep(0.002)
    assert most["b"] == 0
    gates.clear()
    if how != "cancel":
        async with Engine(url, limits={"workflow:waiting": 1}, workflows=[waiting]) as engine:
            handle = await engine.resume(second, waiting)
            assert (await handle.result()).status == "succeeded"


async def test_the_deadline_of_a_resumed_run_counts_while_it_waits_for_its_turn(engine: Engine) -> None:
    gates["a"] = asyncio.Event()
    (first,) = await suspended(engine, "a")
    handle = await engine.start(waiting, {"name": "b"}, deadline=timedelta(seconds=0.5))
    assert (await handle.settled()).status == "suspended"
    await engine.signal(first, "go")
    await until(lambda: inside["a"] == 1)
    await engine.signal(handle.id, "go")
    while (result := await engine.result(handle.id)).status != "failed":
        await asyncio.sleep(0.005)
    assert result.error is not None
    assert result.error["type"] == "DeadlineExceeded"
    assert most["b"] == 0
    gates["a"].set()


async def test_runs_taken_over_from_a_dead_engine_count(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    gates["a"] = asyncio.Event()
    async with Engine(url, grace=0) as dying:
        for _ in range(6):
            await dying.start(child, {"name": "a"})
        await until(lambda: inside["a"] == 6)
    most.clear()
    async with Engine(url, limits={"workflow:child": 2}, workflows=[child], max_runs=3) as engine:
        await until(lambda: inside["a"] == 2)
        await asyncio.sleep(0.02)
        assert inside["a"] == 2
        gates["a"].set()
        while len(await engine.find(status="succeeded")) < 6:
            await asyncio.sleep(0.005)
    assert most["a"] == 2


async def test_a_family_that_is_taken_up_after_a_crash_comes_to_an_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    limits = {"workflow:child": 1, "workflow:parent": 1, "key:name": 1}
    gates["a"] = asyncio.Event()
    async with Engine(url, grace=0, limits=limits) as dying:
        handle = await dying.start(parent, {"name": "a"}, key="once")
        await until(lambda: inside["a"] == 1)
    gates["a"].set()
    async with Engine(url, limits=limits, workflows=[parent, child], grace=0) as engine:
        async with asyncio.timeout(20):
            while (await engine.result(handle.id)).status != "succeeded":
                await asyncio.sleep(0.005)
        assert len(await engine.find()) == 2


async def test_a_repeat_with_a_known_key_needs_no_room(engine: Engine) -> None:
    done = await engine.run(child, {"name": "x"}, key="done")
    gates["a"] = asyncio.Event()
    going = [await engine.start(child, {"name": "a"}, key=f"going {number}") for number in range(2)]
    with pytest.raises(Backpressure):
        await engine.start(child, {"name": "a"}, key="new", wait=False)
    assert (await engine.start(child, {"name": "x"}, key="done", wait=False)).id == done.id
    again = await engine.start(child, {"name": "a"}, key="going 1", wait=False)
    assert (again.id, again.is_new) == (going[1].id, False)
    gates["a"].set()
    for one in (*going, again):
        assert (await one.result()).status == "succeeded"
    async with asyncio.timeout(20):
        assert (await engine.run(child, {"name": "a"}, key="new")).status == "succeeded"


async def test_steps_that_are_runs_hold_no_place_of_a_limit_on_steps() -> None:
    limits = {"task:work": 1, "lane:loop": 1}
    named = Workflow("named", [subworkflow(child, id="work")])
    async with Engine("memory://", limits=limits, grace=0) as engine, asyncio.timeout(20):
        await asyncio.gather(*(engine.run(named, {"name": "a"}) for _ in range(4)))
    assert most["a"] == 1
    with pytest.raises(SettingInvalid, match="workflow:NAME"):
        Engine("memory://", limits={"lane:workflow": 1})


TASKS = """
import time
from pathlib import Path
from laneway import Workflow, task

@task
def numbers(n: int) -> list[int]:
    return list(range(n))

@task(each="numbers")
def step(numbers: int) -> list[float]:
    began = time.monotonic()
    time.sleep(0.01)
    return [began, time.monotonic()]

flow = Workflow("flow", [numbers, step])
"""


def package(folder: Path, name: str) -> str:
    folder.mkdir()
    manifest = f'[package]\nname = "{name}"\nversion = "1.0"\nentry_module = "shop_tasks"\n'
    return str(make_folder(folder, manifest, {"src/shop_tasks.py": TASKS}))


def at_once(spans: list[list[float]]) -> int:
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    now = highest = 0
    for _, change in changes:
        now += change
        highest = max(highest, now)
    return highest


@pytest.mark.slow
async def test_a_limit_by_package_bounds_the_steps_of_that_package_alone(tmp_path: Path) -> None:
    limited, free = package(tmp_path / "one", "limited"), package(tmp_path / "two", "free")
    async with Engine("memory://", limits={"package:limited": 1}, workers=2) as engine:
        runs = [engine.run(path, {"n": 12}) for path in (limited, limited, free)]
        first, second, third = await asyncio.gather(*runs)
    assert at_once(first.context["step"] + second.context["step"]) == 1
    assert len(third.context["step"]) == 12
