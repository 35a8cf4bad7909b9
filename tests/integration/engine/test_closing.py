"""An engine closes in bounded time, whatever its store does, and loses nothing that was committed."""

import asyncio
from pathlib import Path

import pytest

from laneway import Engine, Workflow, task
from laneway._core.errors import StoreUnavailable
from laneway._core.records import Transition
from laneway.engine import ledger
from laneway.engine.handle import RunInterrupted
from laneway.engine.refusals import EngineClosed
from laneway.engine.results import RunResult
from laneway.ports import Answer
from laneway.stores.memory import MemoryStore


class FullStore(MemoryStore):
    """Takes new runs, then cannot write anything any more; says so, or says nothing."""

    says_so = True

    def commit(self, transition: Transition, answered: Answer) -> None:
        if self.says_so:
            error = StoreUnavailable(store=self.url, reason="the disk is full", advice="Free some space.")
            asyncio.get_running_loop().call_soon(answered, error)


@pytest.mark.parametrize("says_so", [True, False])
async def test_an_engine_whose_store_cannot_be_written_still_closes(
    monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    monkeypatch.setattr(ledger, "_LAST_WRITES", 0.05)
    monkeypatch.setattr(FullStore, "says_so", says_so)
    ended = asyncio.Event()

    @task
    async def one() -> int:
        ended.set()
        return 1

    async with Engine(FullStore(), grace=0.05) as engine:
        handle = await engine.start(Workflow("unwritten", [one]))
        await ended.wait()
    with pytest.raises(RunInterrupted):
        await handle.result()


async def test_who_waits_for_room_when_the_engine_closes_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @task
    async def quick() -> int:
        return 1

    flow = Workflow("quick", [quick])
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", max_runs=5) as engine:
        going = [asyncio.ensure_future(engine.run(flow)) for _ in range(60)]
        await going[0]
    async with asyncio.timeout(20):
        ends = await asyncio.gather(*going, return_exceptions=True)
    assert {type(one) for one in ends} == {RunResult, EngineClosed}
    assert not caplog.records
