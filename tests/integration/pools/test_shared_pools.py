"""Pools that several engines hold together."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, SharedPool, Workflow, task
from laneway.engine.shared_pools import SharedPoolUnbound

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
    await asyncio.sleep(0.005)
    inside -= 1
    return numbers


flow = Workflow("licensed", [numbers, licensed])


async def held(url: str) -> list[dict[str, Any]]:
    async with Engine(url) as engine:
        return await engine.store.read("documents", kind="pool", name="licences")


async def test_two_engines_together_hold_no_more_than_there_is(tmp_path: Path) -> None:
    global inside, most
    inside = most = 0
    url = f"sqlite:///{tmp_path}/laneway.db"
    pools = [SharedPool("licences", slots=2) for _ in range(2)]
    async with Engine(url, pools=[pools[0]]) as one, Engine(url, pools=[pools[1]]) as two:
        results = await asyncio.gather(*(engine.run(flow, {"n": 10}) for engine in (one, two)))
    assert [result.context["licensed"] for result in results] == [list(range(10))] * 2
    assert most == 2
    (document,) = await held(url)
    assert document["body"] == b"{}"


async def test_what_a_killed_holder_had_comes_back_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    holders = [
        await asyncio.create_subprocess_exec(sys.executable, str(WORKER), url, stdin=-1, stdout=-1)
        for _ in range(2)
    ]
    for holder in holders:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
    pool = SharedPool("licences", slots=2)
    async with Engine(url, pools=[pool]):
        waiting = asyncio.create_task(pool.hold().acquire())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        holders[0].kill()
        async with asyncio.timeout(5):
            await waiting
    holders[1].kill()
    for holder in holders:
        assert holder.stdout is not None
        await holder.stdout.read()
        await holder.wait()


async def test_a_cancelled_wait_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    one, two = SharedPool("licences", slots=1), SharedPool("licences", slots=1)
    async with Engine(url, pools=[one]), Engine(url, pools=[two]):
        async with one.hold():
            waiting = asyncio.create_task(two.hold().acquire())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert two.report().used == 0
        async with asyncio.timeout(5), two.hold():
            pass
    (document,) = await held(url)
    assert document["body"] == b"{}"


async def test_a_shared_pool_needs_an_open_engine() -> None:
    with pytest.raises(SharedPoolUnbound, match="belongs to no open engine"):
        await SharedPool("licences", slots=1).hold().acquire()
    with pytest.raises(RuntimeError, match="async with"), SharedPool("licences", slots=1).hold():
        pass
