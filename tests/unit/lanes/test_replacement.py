"""Workers that are replaced: worn ones, interrupted ones, and those that died with several attempts at once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.lanes.conftest import Bench, MakePackage

from laneway._core.model import TaskSpec
from laneway.lanes._stopping import Ladder
from laneway.ports import Outcome, StepOrder, Unit

SOURCE = """
    import asyncio, os, time
    from laneway import task

    @task
    def echo(data): return data

    @task
    def grow(mib): globals().setdefault("kept", []).append(bytearray(mib * 1024 * 1024)); return len(kept)

    @task
    def mark(path, seconds):
        with open(path, "a") as file: file.write("x")
        time.sleep(seconds)
        return "marked"

    @task
    async def waits(seconds):
        await asyncio.sleep(seconds)
        return "waited"

    @task
    async def dies(): os._exit(5)

    @task
    def loop():
        while True: pass

    @task
    def sleeps(): time.sleep(60)
"""


async def opened(**options: Any) -> Bench:
    bench = Bench(**options)
    await bench.open()
    return bench


async def workers_used(bench: Bench, place: str, unit: Unit, times: int, **arguments: Any) -> list[str]:
    return [(await bench.run(place, unit, "echo", data=number)).worker for number in range(times)]


async def test_worker_is_replaced_after_so_many_attempts(package: MakePackage, place: str) -> None:
    bench = await opened(workers=1, recycle_count=3)
    used = await workers_used(bench, place, package("worn", SOURCE), 9)
    assert [used.count(name) for name in dict.fromkeys(used)] == [3, 3, 3]
    await bench.close()


async def test_worker_is_replaced_when_it_is_old(package: MakePackage, place: str) -> None:
    bench = await opened(workers=1, recycle_age=0.0)
    used = await workers_used(bench, place, package("worn", SOURCE), 3)
    assert len(set(used)) == 3
    await bench.close()


async def test_host_that_holds_too_much_memory_is_replaced(package: MakePackage, place: str) -> None:
    bench = await opened(workers=1, recycle_memory_mib=80)
    unit = package("worn", SOURCE)
    assert await bench.value(place, unit, "grow", mib=1) == 1
    assert await bench.value(place, unit, "grow", mib=100) == 2
    assert await bench.value(place, unit, "grow", mib=1) == 1
    await bench.close()


async def test_replacing_a_busy_worker_loses_and_repeats_nothing(
    package: MakePackage, place: str, tmp_path: Path
) -> None:
    bench = await opened(workers=2, recycle_count=20)
    unit = package("worn", SOURCE, policy={"filesystem.write": (str(tmp_path),)})
    runs = [
        bench.run(place, unit, "mark", path=str(tmp_path / str(number)), seconds=0) for number in range(300)
    ]
    outcomes = await asyncio.gather(*runs)
    assert {outcome.body for outcome in outcomes} == {b'"marked"'}
    assert {(tmp_path / str(number)).read_text() for number in range(300)} == {"x"}
    assert len({outcome.worker for outcome in outcomes}) > 5
    await bench.close()


async def test_worker_is_replaced_after_an_interrupt(package: MakePackage, place: str) -> None:
    bench = await opened(ladder=Ladder(interrupt=50.0))
    unit = package("worn", SOURCE)
    first = await bench.run(place, unit, "loop", timeout=0.2)
    assert first.stopped_by == "interrupt"
    assert (await bench.run(place, unit, "echo", data=1)).worker != first.worker
    await bench.close()


@pytest.mark.parametrize("lane", ["loop", "interpreter"])
async def test_crash_among_many_fails_only_its_cause(package: MakePackage, lane: str) -> None:
    bench = await opened(workers=4)
    unit = package("several", SOURCE)

    def run(name: str, **arguments: Any) -> asyncio.Future[Outcome]:
        spec = TaskSpec(id=name, reference=f"several:{name}", parameters=tuple(arguments), is_async=True)
        payload = json.dumps(arguments).encode()
        return asyncio.ensure_future(
            bench.lanes[lane].run(StepOrder(unit=unit, task=spec, payload=payload, run="r"))
        )

    await asyncio.gather(*(run("waits", seconds=0.1) for _ in range(4)))
    waiting = [run("waits", seconds=0.3) for _ in range(12 if lane == "loop" else 3)]
    await asyncio.sleep(0.05)
    killer = await run("dies")
    assert killer.kind == "failure"
    assert json.loads(killer.body)["kind"] == "lost_lane"
    assert {outcome.body for outcome in await asyncio.gather(*waiting)} == {b'"waited"'}
    await bench.close()


async def test_drained_siblings_do_not_run_twice(package: MakePackage, tmp_path: Path) -> None:
    bench = await opened(workers=2)
    stuck = package("stuck", SOURCE)
    busy = package("busy", SOURCE, policy={"filesystem.write": (str(tmp_path),)})
    await asyncio.gather(
        bench.run("interpreter", stuck, "echo", data=1), bench.run("interpreter", busy, "echo", data=1)
    )
    kill = asyncio.ensure_future(bench.run("interpreter", stuck, "sleeps", timeout=0.1))
    outcomes: list[Outcome] = []
    number = 0
    while not kill.done():
        number += 1
        outcomes.append(
            await bench.run("interpreter", busy, "mark", path=str(tmp_path / str(number)), seconds=0.01)
        )
    assert (await kill).stopped_by in ("interrupt", "kill")
    assert {outcome.body for outcome in outcomes} == {b'"marked"'}
    assert {(tmp_path / str(one)).read_text() for one in range(1, number + 1)} == {"x"}
    await bench.close()
