"""The wall clock is set back an hour while an engine works: short waits stay short, nothing is lost or doubled."""

import asyncio
import time
from pathlib import Path

import pytest

from laneway import Engine, Retry, Workflow, defer, task, wait_for_signal

pytestmark = [pytest.mark.chaos]

HOUR = 3600.0


class WallClock:
    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def wall() -> WallClock:
    return WallClock()


async def test_retries_polls_and_time_limits_go_on_after_the_clock_was_set_back(
    tmp_path: Path, wall: WallClock
) -> None:
    tries: list[str] = []

    @task(retry=Retry(attempts=3, backoff=0.5, factor=1, jitter=0))
    async def shaky() -> int:
        tries.append("shaky")
        if len([one for one in tries if one == "shaky"]) < 3:
            raise ConnectionError("not yet")
        return 1

    @task
    async def polled() -> object:
        tries.append("polled")
        return defer(0.5) if len([one for one in tries if one == "polled"]) < 3 else 2

    @task
    async def asked() -> object:
        return wait_for_signal("never", timeout=1.2, default=3)

    @task
    async def set_back() -> int:
        async with asyncio.timeout(20):
            while len(tries) < 2:
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # both wait by now, and the third
        wall.offset = -HOUR
        return 4

    flow = Workflow("waiting", [shaky, polled, asked, set_back])
    async with Engine(f"sqlite:///{tmp_path}/s.db") as engine:
        engine._open()[1].now = wall
        async with asyncio.timeout(30):
            result = await engine.run(flow)
        assert result.context == {"shaky": 1, "polled": 2, "asked": 3, "set_back": 4}
        assert tries.count("shaky") == tries.count("polled") == 3
        kinds = [one.kind for one in await engine.events(run=result.id)]
        assert kinds[0] == "run_submitted", "the order of events is a counter, not the time"
        assert kinds[-1] == "run_succeeded"


async def test_runs_of_before_and_after_are_listed_and_swept_by_what_the_clock_said(
    tmp_path: Path, wall: WallClock
) -> None:
    @task
    async def quick(n: int) -> int:
        return n

    flow = Workflow("quick", [quick])
    async with Engine(f"sqlite:///{tmp_path}/s.db") as engine, Engine(f"sqlite:///{tmp_path}/s.db") as other:
        engine._open()[1].now = wall
        before = await engine.run(flow, {"n": 1}, key="a")
        wall.offset = -HOUR
        after = await engine.run(flow, {"n": 2}, key="b")
        assert (await engine.run(flow, {"n": 1}, key="a")).id == before.id
        assert {one["id"] for one in await other.find()} == {before.id, after.id}
        assert (await other.store.read("engines"))[0]["gone"] is False, "leases do not use the wall clock"
        assert (await other.sweep(HOUR / 2))["runs"] == 1, "the run that ended an hour ago, by its record"
        assert [one["id"] for one in await other.find()] == [before.id]
