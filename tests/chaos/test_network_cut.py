"""The network between engine and Postgres swallows every packet, and comes back: told, waited out, nothing lost."""

import asyncio
from collections.abc import Iterator

import pytest
from rights import as_root
from servers import needed_programs
from wires import PostgresBehindWire

from laneway import Engine, Workflow, task
from laneway._core.errors import StoreUnavailable

pytestmark = [pytest.mark.chaos, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(120)]

RUNS = 60

held: list[asyncio.Event] = []
"""What half of the runs wait for in their second step, in the program that is cut off: it is never done too soon."""


@pytest.fixture
def cut() -> Iterator[asyncio.Event]:
    """To be set once the wire is cut."""
    held.append(asyncio.Event())
    yield held[0]
    held.clear()


@pytest.fixture
def server() -> Iterator[PostgresBehindWire]:
    server = PostgresBehindWire(needed_programs(), as_root())
    try:
        server.start()
        yield server
    finally:
        server.mend()
        server.remove()


@task
async def first(n: int) -> int:
    await asyncio.sleep(0.01)
    return n + 1


@task
async def second(first: int) -> int:
    for one in held:
        if first % 2:
            await one.wait()
    await asyncio.sleep(0.01)
    return first * 2


@task
async def third(second: int) -> int:
    return second - 1


FLOW = Workflow("cut", [first, second, third])


async def audit(engine: Engine) -> None:
    assert await engine.store.read("counts") == [{"status": "succeeded", "runs": RUNS}]
    events = [one for one in await engine.events(limit=100_000) if one.kind == "step_succeeded"]
    assert len(events) == len({(one.run, one.task) for one in events}) == 3 * RUNS


async def said(caplog: pytest.LogCaptureFixture, words: str) -> str:
    async with asyncio.timeout(40):
        while True:
            for one in caplog.records:
                if words in one.getMessage():
                    return one.getMessage()
            await asyncio.sleep(0.05)


async def test_a_cut_wire_is_told_and_work_goes_on_by_itself_once_it_is_mended(
    server: PostgresBehindWire, cut: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(server.url, lease=60) as engine:
        handles = [await engine.start(FLOW, {"n": number}, key=f"k{number}") for number in range(RUNS)]
        working = asyncio.gather(*[handle.result() for handle in handles])
        await asyncio.to_thread(server.cut)
        cut.set()
        line = await said(caplog, "steps wait for it")
        assert "Check that the server runs" in line
        assert not working.done()
        with pytest.raises(StoreUnavailable, match="Check that the server runs"):
            await engine.start(FLOW, {"n": 1}, key="while it is cut")
        with pytest.raises(StoreUnavailable):
            await engine.find()
        await asyncio.to_thread(server.mend)
        results = await asyncio.wait_for(working, 60)
        assert [one.context["third"] for one in results] == [(number + 1) * 2 - 1 for number in range(RUNS)]
        assert await said(caplog, "can be written again")
        await audit(engine)


TAKEOVER = """
import asyncio, sys
from tests.chaos.test_network_cut import FLOW, RUNS
from laneway import Engine

async def main():
    async with Engine(sys.argv[1], workflows=[FLOW]) as engine:
        while await engine.store.read("counts") != [{"status": "succeeded", "runs": RUNS}]:
            await asyncio.sleep(0.05)

asyncio.run(main())
"""


async def test_an_engine_cut_off_for_longer_than_its_lease_finds_its_runs_taken_over_and_writes_nothing_of_them(
    server: PostgresBehindWire, cut: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(server.url, lease=1.5) as engine:
        for number in range(RUNS):
            await engine.start(FLOW, {"n": number}, key=f"k{number}")
        await asyncio.to_thread(server.cut)
        cut.set()
        other = await server.beside(TAKEOVER, server.inner_url)
        try:
            assert await asyncio.wait_for(other.wait(), 60) == 0
        finally:
            if other.returncode is None:
                other.kill()
        await asyncio.to_thread(server.mend)
        await said(caplog, "lost its lease")
        async with asyncio.timeout(40):
            while (one := await _tried(engine)) is None:
                await asyncio.sleep(0.05)
        assert one == 3, "under a new name it works again"
        assert await engine.store.read("counts") == [{"status": "succeeded", "runs": RUNS + 1}]
        events = [one for one in await engine.events(limit=100_000) if one.kind == "step_succeeded"]
        assert len(events) == len({(one.run, one.task) for one in events}) == 3 * (RUNS + 1)


async def _tried(engine: Engine) -> int | None:
    try:
        result = await engine.run(FLOW, {"n": 1}, key="afterwards")
    except StoreUnavailable:
        return None
    third_value: int = result.context["third"]
    return third_value
