"""An engine that is asked for ten times what its lanes can do."""

import asyncio
import os
import threading
import time
from pathlib import Path
from statistics import median

import pytest

from laneway import Backpressure, Engine, Workflow, task

SECONDS = float(os.environ.get("LANEWAY_TEST_OVERLOAD_SECONDS", "3"))
"""How long; 60 for a thorough run."""


@task(lane="thread")
def busy(number: int) -> int:
    threading.Event().wait(0.005)
    return number


flow = Workflow("busy", [busy])


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_memory_stays_flat_urgent_work_is_quick_and_nothing_is_lost(tmp_path: Path) -> None:
    done = refused = asked = 0
    latencies: list[float] = []
    usual: list[float] = []
    sizes: list[float] = []
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", max_runs=200) as engine:
        until = time.monotonic() + SECONDS

        async def produce(number: int) -> None:
            nonlocal done, refused, asked
            while time.monotonic() < until:
                asked += 1
                began = time.monotonic()
                try:
                    handle = await engine.start(flow, {"number": number}, wait=number % 2 == 0)
                except Backpressure:
                    refused += 1
                    await asyncio.sleep(0.001)
                    continue
                assert (await handle.result()).context["busy"] == number
                done += 1
                if number % 2 == 0:
                    usual.append(time.monotonic() - began)

        async def probe() -> None:
            while time.monotonic() < until:
                began = time.monotonic()
                await engine.run(flow, {"number": -1}, priority=10)
                latencies.append(time.monotonic() - began)
                sizes.append(memory_mb())
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for number in range(600):
                group.create_task(produce(number))
            group.create_task(probe())
        assert asked == done + refused
        counts = {row["status"]: row["runs"] for row in await engine.store.read("counts")}
    assert counts == {"succeeded": done + len(latencies)}
    assert refused > 0
    urgent, ordinary = median(latencies), median(usual)
    assert urgent < ordinary / 2
    assert max(sizes[len(sizes) // 2 :]) - sizes[len(sizes) // 3] < 10
    print(
        f"{done} done, {refused} refused; urgent {urgent * 1e3:.0f} ms (worst {max(latencies) * 1e3:.0f}), "
        f"ordinary {ordinary * 1e3:.0f} ms; memory {sizes[len(sizes) // 3]:.0f} to {sizes[-1]:.0f} MB"
    )
