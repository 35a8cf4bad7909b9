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
    urgent: list[int] = []
    ordinary: list[int] = []
    sizes: list[float] = []
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", max_runs=200) as engine:
        until = time.monotonic() + SECONDS

        def goes_on() -> bool:
            return time.monotonic() < until or len(urgent) < 10 or len(ordinary) < 10

        async def produce(number: int) -> None:
            nonlocal done, refused, asked
            while goes_on():
                asked += 1
                before = done
                try:
                    handle = await engine.start(flow, {"number": number}, wait=number % 2 == 0)
                except Backpressure:
                    refused += 1
                    await asyncio.sleep(0.01)
                    continue
                assert (await handle.result()).context["busy"] == number
                done += 1
                if number % 2 == 0:
                    ordinary.append(done - before)

        async def probe() -> None:
            while goes_on():
                before = done
                await engine.run(flow, {"number": -1}, priority=10)
                urgent.append(done - before)
                sizes.append(memory_mb())
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for number in range(600):
                group.create_task(produce(number))
            group.create_task(probe())
        assert asked == done + refused
        counts = {row["status"]: row["runs"] for row in await engine.store.read("counts")}
    assert counts == {"succeeded": done + len(urgent)}
    assert refused > 0
    # How many others end while one waits says how far it went ahead, however fast the machine is.
    assert median(urgent) < median(ordinary) / 2
    assert max(sizes[len(sizes) // 2 :]) - sizes[len(sizes) // 3] < 10
    print(
        f"{done} done, {refused} refused; others that ended before an urgent run {median(urgent):.0f} "
        f"(most {max(urgent)}), before an ordinary one {median(ordinary):.0f}; "
        f"memory {sizes[len(sizes) // 3]:.0f} to {sizes[-1]:.0f} MB"
    )
