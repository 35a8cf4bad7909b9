"""What every broker has to stand: workers that die, and its own restart. Test modules subclass `Losses`."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Broker
from celery_workers import Worker
from far_steps import marked

from laneway import Engine
from laneway.lanes import CeleryLane

__all__ = ["Losses", "Start", "begun_times", "marks", "until"]

type Start = Callable[..., Worker]


def marks(folder: Path, kind: str) -> list[str]:
    """The numbers of the steps that left such a mark, once for each time."""
    return sorted(one.name.split("-")[1] for one in folder.glob(f"{kind}-*"))


def begun_times(folder: Path) -> dict[str, int]:
    """How often each step began."""
    found = marks(folder, "begun")
    return {one: found.count(one) for one in found}


async def until(told: Callable[[], bool]) -> None:
    """Wait for something that happens by itself; the test's time limit ends it."""
    while not told():
        await asyncio.sleep(0.02)


async def check_run(engine: Engine, run: str, count: int) -> None:
    """Every step ended once, in its first attempt."""
    events = [
        one for one in await engine.events(run=run) if one.kind == "step_succeeded" and one.task == "step"
    ]
    assert sorted(one.item for one in events if one.item is not None) == list(range(count))


async def quick_to_miss(engine: Engine) -> None:
    """Give the engine a lane that misses silent workers sooner, for tests that wait for it."""
    lane = engine.lanes["celery"] = CeleryLane(engine.fleet, silence=4)
    await lane.open()


@pytest.mark.timeout(120)
class Losses:
    """Runs with the fixtures `broker`, `workers`, `folder` and `tmp_path`."""

    async def test_run_goes_on_when_a_worker_is_lost_with_its_steps(
        self, broker: Broker, workers: Start, folder: Path, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        given = {"folder": str(folder), "seconds": 0.1, "gate": str(gate)}
        first = workers(broker, "--concurrency", "2").ready()
        async with Engine("memory://", broker=broker.url) as engine:
            await quick_to_miss(engine)
            run = await engine.start(marked, {"count": 4, **given})
            second = workers(broker, "--concurrency", "4")
            await until(lambda: len(marks(folder, "begun")) >= 2)
            mine = {one.name.split("-")[1] for one in folder.iterdir()}
            await asyncio.to_thread(second.ready)
            await until(lambda: len(marks(folder, "begun")) == 4)
            first.kill()
            gate.touch()
            result = await run.result()
            assert result.context["total"] == 14
            await check_run(engine, result.id, 4)
        attempts = [one for step in result.steps if step.task == "step" for one in step.attempts]
        assert [one.number for one in attempts if one.worker] == [1, 1, 1, 1]
        assert all(str(second.process.pid) in one.worker for one in attempts if one.worker)
        again = {one for one, times in begun_times(folder).items() if times > 1}
        assert again == mine, "those that were lost ran again, and no others"

    async def test_run_goes_on_when_the_broker_is_killed_and_starts_again(
        self, broker: Broker, workers: Start, folder: Path, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        given = {"folder": str(folder), "seconds": 0.05, "gate": str(gate)}
        workers(broker, "--concurrency", "2").ready()
        async with Engine("memory://", broker=broker.url) as engine:
            run = await engine.start(marked, {"count": 5, **given})
            await until(lambda: len(marks(folder, "begun")) == 2)
            await asyncio.to_thread(broker.stop, signal.SIGKILL)
            gate.touch()  # two end while there is no broker to tell; three wait in a queue that may be gone
            await until(lambda: len(marks(folder, "done")) == 2)
            await asyncio.to_thread(broker.start)
            result = await run.result()
            assert result.context["total"] == 30
            await check_run(engine, result.id, 5)
        assert begun_times(folder) == dict.fromkeys("01234", 1), "nothing that was done was done again"
