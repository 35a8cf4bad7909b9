"""Engines that die or freeze lose their runs to others, and an engine that lost its lease writes nothing."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.chaos.freezing import FLOW

from laneway import Engine

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parents[2]


class Gate:
    """Where gated steps report and wait."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writers: list[asyncio.StreamWriter] = []
        self.arrivals: asyncio.Queue[tuple[int, asyncio.StreamWriter]] = asyncio.Queue()

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        line = await reader.readline()
        if line:
            await self.arrivals.put((int(line), writer))

    async def next(self) -> tuple[int, asyncio.StreamWriter]:
        async with asyncio.timeout(20):
            return await self.arrivals.get()


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    gate = Gate(tmp_path / "gate")
    server = await asyncio.start_unix_server(gate.arrived, gate.path)
    yield gate
    server.close()
    for writer in gate.writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def let_through(writer: asyncio.StreamWriter) -> None:
    writer.write(b"go\n")
    writer.close()


@asynccontextmanager
async def program(
    store: str, log: Path, gate: Gate, lease: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.freezing", store, str(log), str(gate.path), str(lease),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def lease_end(engine: Engine) -> None:
    """Wait until the other engine's lease is over, by the store's own account."""
    while (
        left := (await engine.store.read("agenda", workflows=["gated"]))[0]["leases"]
    ) is not None and left > 0:
        await asyncio.sleep(left)


async def test_killed_engines_run_is_taken_over_at_once_on_the_same_host(tmp_path: Path, gate: Gate) -> None:
    store, log = f"sqlite:///{tmp_path}/store.db", tmp_path / "log"
    async with Engine(store, lease=300) as engine, program(store, log, gate, lease=300) as other:
        pid, _ = await gate.next()
        run = (await engine.find())[0]["id"]
        handle = await engine.resume(run, FLOW)
        assert handle.kept == 0, "a living engine's run stays its own"
        other.send_signal(signal.SIGKILL)
        await other.wait()
        handle = await engine.resume(run, FLOW)
        mine, writer = await gate.next()
        assert mine == os.getpid()
        let_through(writer)
        result = await handle.result()
        assert (result.kept, result.context["after"]) == (1, f"by {os.getpid()}")
    assert log.read_text().split("\n")[:-1] == [
        f"before {pid}",
        f"gated {pid}",
        f"gated {mine}",
        f"after {mine}",
    ]


async def test_frozen_engine_that_wakes_after_its_lease_writes_nothing(tmp_path: Path, gate: Gate) -> None:
    store, log = f"sqlite:///{tmp_path}/store.db", tmp_path / "log"
    async with Engine(store, lease=2) as engine, program(store, log, gate, lease=2) as other:
        pid, held = await gate.next()
        run = (await engine.find())[0]["id"]
        other.send_signal(signal.SIGSTOP)
        await lease_end(engine)
        handle = await engine.resume(run, FLOW)
        _, writer = await gate.next()
        let_through(held)
        other.send_signal(signal.SIGCONT)
        assert other.stdout is not None
        first = (await asyncio.wait_for(other.stdout.readline(), 20)).decode()
        assert first.startswith("StoreFenced"), first
        assert "lost its lease" in first
        assert (await asyncio.wait_for(other.stdout.readline(), 20)).decode() == "fresh succeeded\n"
        await asyncio.wait_for(other.wait(), 20)
        let_through(writer)
        result = await handle.result()
        assert result.context["after"] == f"by {os.getpid()}"
        saved = await engine.result(run)
        assert [one.task for one in saved.steps] == ["before", "gated", "after"]
        assert saved.context == result.context
        events = [one.kind for one in await engine.events(run=run)]
        assert events.count("step_succeeded") == 3
    assert f"after {pid}" not in log.read_text()


async def test_renewed_lease_outlives_its_length(tmp_path: Path, gate: Gate) -> None:
    store, log = f"sqlite:///{tmp_path}/store.db", tmp_path / "log"
    async with Engine(store, lease=1) as engine, program(store, log, gate, lease=1):
        pid, held = await gate.next()
        run = (await engine.find())[0]["id"]
        for _ in range(3):
            await asyncio.sleep(1)  # the lease's own length: what is shown is that it was renewed
            assert not (await engine.resume(run, FLOW)).is_new
            assert (await engine.find())[0]["status"] == "running"
        assert gate.arrivals.empty(), "nobody else started the step"
        let_through(held)
        result = await (await engine.resume(run, FLOW)).result()
        assert result.context["after"] == f"by {pid}"


async def test_an_engine_that_knows_the_workflow_takes_over_by_itself_when_another_one_dies(
    tmp_path: Path, gate: Gate
) -> None:
    store, log = f"sqlite:///{tmp_path}/store.db", tmp_path / "log"
    async with (
        Engine(store, lease=0.6, workflows=[FLOW]) as engine,
        program(store, log, gate, lease=0.6) as other,
    ):
        pid, _ = await gate.next()
        run = (await engine.find())[0]["id"]
        over = asyncio.Event()
        engine.listen(lambda rows: over.set() if any(row.kind == "run_succeeded" for row in rows) else None)
        other.send_signal(signal.SIGKILL)
        await other.wait()
        mine, writer = await gate.next()
        assert (mine, pid != mine) == (os.getpid(), True)
        let_through(writer)
        await asyncio.wait_for(over.wait(), 20)
        result = await engine.result(run)
        assert result.context["after"] == f"by {os.getpid()}"
        assert [line for line in log.read_text().splitlines() if line.startswith("before")] == [
            f"before {pid}"
        ]
