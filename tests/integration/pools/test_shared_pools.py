"""Pools that several engines hold together."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import PostgresServer, postgres_server
from shared_pool_model import CALLS, OPERATIONS, Model, Watched

from laneway import Engine, SharedPool, Workflow, task
from laneway._core.pool_book import PoolTooSmall
from laneway.engine.shared_pools import SharedPoolUnbound
from laneway.ports import EngineCard
from laneway.registry import store_from

WORKER = Path(__file__).parents[2] / "support" / "pool_worker.py"

inside = 0
most = 0


@task
async def numbers(n: int) -> list[int]:
    return list(range(n))


@task(each="numbers", pool="licences")
async def licensed(numbers: int) -> int:
    global inside, most
    inside += 1
    most = max(most, inside)
    await until(lambda: most == 2)  # the first one stays until another is inside
    await asyncio.sleep(0.005)
    inside -= 1
    return numbers


flow = Workflow("licensed", [numbers, licensed])


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/laneway.db"
    server: PostgresServer = request.getfixturevalue("server")
    return server.new_database()


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def held(url: str) -> list[dict[str, Any]]:
    async with Engine(url) as engine:
        return await engine.store.read("documents", kind="pool", name="licences")


async def test_two_engines_together_hold_no_more_than_there_is(url: str) -> None:
    global inside, most
    inside = most = 0
    pools = [SharedPool("licences", slots=2) for _ in range(2)]
    async with Engine(url, pools=[pools[0]]) as one, Engine(url, pools=[pools[1]]) as two:
        results = await asyncio.gather(*(engine.run(flow, {"n": 10}) for engine in (one, two)))
    assert [result.context["licensed"] for result in results] == [list(range(10))] * 2
    assert most == 2
    (document,) = await held(url)
    assert document["body"] == b"{}"


async def two_holders(url: str) -> list[asyncio.subprocess.Process]:
    """Other programs that each have one slot; they give it back when something is written to them."""
    holders = [
        await asyncio.create_subprocess_exec(sys.executable, str(WORKER), url, stdin=-1, stdout=-1)
        for _ in range(2)
    ]
    for holder in holders:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
    return holders


async def test_what_a_killed_holder_had_comes_back_at_once(url: str) -> None:
    holders = await two_holders(url)
    pool = SharedPool("licences", slots=2)
    async with Engine(url, pools=[pool]):
        waiting = asyncio.create_task(pool.hold().acquire())
        await until(lambda: pool.report().used == 1)  # it is the first of its engine's line
        assert not waiting.done()
        holders[0].kill()
        async with asyncio.timeout(20):
            await waiting
    holders[1].kill()
    for holder in holders:
        assert holder.stdout is not None
        await holder.stdout.read()
        await holder.wait()


async def never(seconds: float) -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_another_program_gives_back_wakes_who_waits_without_a_look_in_between(url: str) -> None:
    holders = await two_holders(url)
    pool = SharedPool("licences", slots=2)
    async with Engine(url, pools=[pool]), asyncio.timeout(50):
        ledger = pool.ledger
        ledger._sleep = ledger._lookout._sleep = (
            never  # so nothing but a call, or a process' end, can wake it
        )
        for holder, ending in zip(holders, ["gives back", "is killed"], strict=True):
            waiting = asyncio.create_task(pool.hold().acquire())
            await until(lambda: ledger._lookout._watches.keys())
            assert not waiting.done()
            if ending == "is killed":
                holder.kill()
            else:
                holder.stdin.write(b"\n")  # type: ignore[union-attr]
            await waiting
    for holder in holders:
        await holder.communicate()


async def test_a_pool_made_larger_from_another_thread_serves_who_waits(tmp_path: Path) -> None:
    one, two = SharedPool("licences", slots=1), SharedPool("licences", slots=1)
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url, pools=[one]), Engine(url, pools=[two]), one.hold(), asyncio.timeout(50):
        ledger = two.ledger
        ledger._sleep = ledger._lookout._sleep = never
        waiting = two.hold()
        acquiring = asyncio.create_task(waiting.acquire())
        await until(lambda: ledger._lookout._watches.keys())
        await asyncio.to_thread(two.resize, 2)
        await acquiring
        waiting.release()


async def test_a_cancelled_wait_leaves_nothing_in_the_store(url: str) -> None:
    one, two = SharedPool("licences", slots=1), SharedPool("licences", slots=1)
    async with Engine(url, pools=[one]), Engine(url, pools=[two]):
        async with one.hold():
            waiting = asyncio.create_task(two.hold().acquire())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert two.report().used == 0
        async with asyncio.timeout(20), two.hold():
            pass
    (document,) = await held(url)
    assert document["body"] == b"{}"


ROUNDS = int(os.environ.get("LANEWAY_TEST_POOL_ROUNDS", "4"))
"""How many random histories of a shared pool are gone through on each store; hundreds for a thorough campaign."""


@pytest.fixture
async def stores(url: str) -> AsyncIterator[list[Watched]]:
    opened = [store_from(url, durability="commit") for _ in range(3)]
    for number, store in enumerate(opened):
        await store.open(EngineCard(f"store-{number}", "elsewhere", 1, 1.0), lease=1e6)
    yield [Watched(store) for store in opened]
    for store in opened:
        await store.close()


@pytest.mark.parametrize("per", [0.0, 2.0], ids=["given back", "a rate"])
async def test_whatever_happens_to_its_holders_it_is_never_over_capacity_and_never_leaks(
    stores: list[Watched], per: float
) -> None:
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        operations = [
            (chance.choice(OPERATIONS), chance.randrange(8), chance.randrange(6)) for _ in range(40)
        ]
        await Model(stores, per=per, calls=CALLS[seed % len(CALLS)]).go_through(operations)


async def test_two_engines_together_take_no_more_than_the_rate(url: str) -> None:
    pools = [SharedPool("api", rate=5, per=0.4) for _ in range(2)]
    moments: list[float] = []

    async def use(pool: SharedPool) -> None:
        async with pool:
            moments.append(time.monotonic())

    async with Engine(url, pools=[pools[0]]), Engine(url, pools=[pools[1]]):
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(18):
                group.create_task(use(pools[number % 2]))
        assert [pool.report().granted for pool in pools] == [9, 9]
        assert {pool.report().holders for pool in pools} == {0}
    # 18 of 5 in 0.4 s need three whole periods; a slow machine only makes the gaps longer
    assert max(moments) - began >= 3 * 0.4 - 0.05
    (document,) = await held_of(url, "api")
    assert b"shares" not in document["body"]


async def held_of(url: str, name: str) -> list[dict[str, Any]]:
    async with Engine(url) as engine:
        return await engine.store.read("documents", kind="pool", name=name)


async def test_what_a_rate_gave_stays_used_when_its_taker_dies(url: str) -> None:
    first = SharedPool("api", rate=1, per=60)
    async with Engine(url, pools=[first]), first.hold():
        pass
    second = SharedPool("api", rate=1, per=60)
    async with Engine(url, pools=[second]):
        waiting = asyncio.create_task(second.hold().acquire())
        await until(lambda: second.report().used == 1)
        assert not waiting.done()
        report = second.report()
        assert (report.kind, report.capacity, report.per, report.waiting, report.holders) == (
            "rate",
            1,
            60,
            1,
            0,
        )
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert second.report().waiting == 0


async def test_a_rate_goes_by_priority_within_an_engine(tmp_path: Path) -> None:
    pool = SharedPool("api", rate=1, per=0.05)
    order: list[str] = []

    async def use(name: str, priority: int) -> None:
        async with pool.hold(priority=priority):
            order.append(name)

    async with Engine(f"sqlite:///{tmp_path}/laneway.db", pools=[pool]), asyncio.TaskGroup() as group:
        group.create_task(use("first", 0))
        await until(lambda: pool.report().granted == 1)
        group.create_task(use("asks the store already", 0))
        await until(lambda: pool.report().waiting == 1)
        group.create_task(use("low", 0))
        group.create_task(use("high", 5))
    assert order == ["first", "asks the store already", "high", "low"]


async def test_asking_for_more_than_the_rate_is_refused_at_once_and_after_a_resize(tmp_path: Path) -> None:
    pool = SharedPool("api", rate=2, per=60)
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", pools=[pool]):
        with pytest.raises(PoolTooSmall):
            await pool.hold(3).acquire()
        async with pool.hold(2):
            pass
        pool.resize(4)
        async with pool.hold(2):
            pass
        with pytest.raises(RuntimeError, match="async with"):
            pool.hold().acquire_blocking()


@task(each="numbers", pool="api:2")
async def called(numbers: int) -> int:
    return numbers


async def test_steps_take_from_a_shared_rate(url: str) -> None:
    pool = SharedPool("api", rate=4, per=0.1)
    async with Engine(url, pools=[pool]) as engine:
        result = await engine.run(Workflow("calls", [numbers, called]), {"n": 6})
        assert result.context["called"] == list(range(6))
        assert pool.report().granted == 6


async def test_a_shared_pool_needs_an_open_engine() -> None:
    with pytest.raises(SharedPoolUnbound, match="belongs to no open engine"):
        await SharedPool("licences", slots=1).hold().acquire()
    with pytest.raises(RuntimeError, match="async with"), SharedPool("licences", slots=1).hold():
        pass
