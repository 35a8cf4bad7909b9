"""Whoever is cancelled while starting a run leaves nothing or a run that goes on, never one that is stuck."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from laneway import Engine, Workflow, subworkflow, task
from laneway._core.errors import RunFailed
from laneway.stores.sqlite import SqliteStore


@task
async def quick() -> int:
    return 1


QUICK = Workflow("quick", [quick])


class Gate:
    """Holds the store's thread within a commit while it is closed."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.reached = threading.Event()

    def __call__(self, point: str) -> None:
        if point == "begun" and not self.is_open.is_set():
            self.reached.set()
            assert self.is_open.wait(30)

    async def hold(self) -> None:
        """Wait until a commit is held."""
        assert await asyncio.to_thread(self.reached.wait, 30)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def engine(tmp_path: Path, gate: Gate) -> AsyncIterator[Engine]:
    # Synced, so that the store's thread makes every commit and the loop goes on while one is held.
    async with Engine(SqliteStore(tmp_path / "store.db", durability="fsync", hook=gate)) as engine:
        yield engine
        gate.is_open.set()


async def ended(engine: Engine, workflow: str) -> str:
    """How the only run of a workflow ended."""
    while True:
        found = await engine.find(workflow=workflow)
        if found and found[0]["status"] not in ("running", "suspended"):
            assert len(found) == 1
            return str(found[0]["status"])
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("key", [None, "once"])
async def test_run_that_is_being_recorded_goes_on_without_who_started_it(
    engine: Engine, gate: Gate, key: str | None
) -> None:
    gate.is_open.clear()
    starting = asyncio.ensure_future(engine.start(QUICK, key=key))
    await gate.hold()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    gate.is_open.set()
    assert await ended(engine, "quick") == "succeeded"
    if key is not None:
        assert not (await engine.start(QUICK, key=key)).is_new


async def test_inner_run_that_is_being_recorded_is_cancelled_with_its_step(
    engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    @task
    async def endless() -> None:
        await asyncio.Event().wait()

    outer = Workflow("outer", [subworkflow(Workflow("inner", [endless]), timeout=0.2)])
    begin = engine.start

    async def start(*arguments: object, **options: object) -> object:
        if "parent" in options:
            gate.is_open.clear()
        return await begin(*arguments, **options)  # type: ignore[arg-type]  # whatever it was called with

    monkeypatch.setattr(engine, "start", start)
    running = asyncio.ensure_future(engine.run(outer))
    await gate.hold()
    await asyncio.sleep(0.4)  # longer than the step may take
    assert not running.done()
    gate.is_open.set()
    with pytest.raises(RunFailed, match="time limit"):
        await running
    assert await ended(engine, "inner") == "cancelled"


async def test_who_is_cancelled_while_waiting_for_room_leaves_nothing(tmp_path: Path) -> None:
    @task
    async def endless() -> None:
        await asyncio.Event().wait()

    async with Engine(f"sqlite:///{tmp_path}/store.db", max_runs=1) as engine:
        first = await engine.start(Workflow("first", [endless]))
        starting = asyncio.ensure_future(engine.start(QUICK, key="later"))
        await asyncio.sleep(0.05)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await engine.find(workflow="quick") == []
        await first.cancel()
        assert (await engine.run(QUICK, key="later")).status == "succeeded"
