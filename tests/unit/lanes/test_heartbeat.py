"""Workers that answer no more: found without work to do, replaced, and never confused with busy ones."""

import asyncio
import os
import signal
from typing import Any

from tests.unit.lanes.conftest import Bench, MakePackage
from tests.unit.lanes.test_fleet import host_pids

SOURCE = """
    from laneway import task

    @task
    def echo(data): return data

    @task
    def holds_its_interpreter(count): return sum(range(count))

    @task
    def closes_everything():
        import os
        os.closerange(3, 64)
"""


async def opened(**options: Any) -> Bench:
    bench = Bench(workers=1, heartbeat=0.05, **options)
    await bench.open()
    return bench


async def until_gone(bench: Bench, pid: int) -> None:
    async with asyncio.timeout(30):
        while pid in host_pids(bench.fleet):
            await asyncio.sleep(0.02)


async def test_frozen_worker_without_work_is_replaced(package: MakePackage, place: str) -> None:
    bench = await opened(patience=0.3)
    unit = package("beats", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    (pid,) = host_pids(bench.fleet)
    os.kill(pid, signal.SIGSTOP)
    await until_gone(bench, pid)
    assert bench.lanes[place].health().restarts >= 1
    assert await bench.value(place, unit, "echo", data=2) == 2
    await bench.close()


async def test_order_that_a_frozen_worker_got_runs_elsewhere(package: MakePackage, place: str) -> None:
    bench = await opened(patience=3)
    unit = package("beats", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    (pid,) = host_pids(bench.fleet)
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        while bench.lanes[place].health().workers[0]["silent"] < 1.5:
            await asyncio.sleep(0.02)
        assert await bench.value(place, unit, "echo", data=2) == 2
    assert pid not in host_pids(bench.fleet)
    await bench.close()


async def test_worker_that_is_busy_in_c_code_is_shown_as_silent_and_left_alone(
    package: MakePackage, place: str
) -> None:
    bench = await opened(patience=0.1)
    unit = package("beats", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    before = host_pids(bench.fleet)
    count, silent = 30_000_000, 0.0
    while (
        silent <= 0.1
    ):  # the quicker the machine, the more there is to count until it was silent for long enough
        running = asyncio.ensure_future(bench.value(place, unit, "holds_its_interpreter", count=count))
        while not running.done():
            await asyncio.sleep(0.02)
            silent = max(silent, *(one["silent"] for one in bench.lanes[place].health().workers), 0.0)
        assert running.result() == count * (count - 1) // 2
        assert host_pids(bench.fleet) == before
        count *= 2
    await bench.close()


async def test_worker_that_lost_its_control_pipe_is_replaced(package: MakePackage) -> None:
    bench = await opened(patience=0.2)
    unit = package("beats", SOURCE)
    await bench.value("process", unit, "echo", data=1)
    (pid,) = host_pids(bench.fleet)
    await bench.run("process", unit, "closes_everything")
    await until_gone(bench, pid)
    assert await bench.value("process", unit, "echo", data=2) == 2
    await bench.close()


async def test_heart_beats_only_while_there_are_workers(package: MakePackage) -> None:
    bench = await opened(idle_timeout=0.1)
    assert bench.fleet._heartbeat._timer is None
    await bench.value("interpreter", package("beats", SOURCE), "echo", data=1)
    assert bench.fleet._heartbeat._timer is not None
    async with asyncio.timeout(20):
        while bench.fleet._heartbeat._timer is not None:
            await asyncio.sleep(0.02)
    await bench.close()
