"""Several engines on one store, some of them killed at random: no run twice, none stuck."""

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.chaos.crowd import BATCH, FLOW

from laneway import Engine

ROOT = Path(__file__).resolve().parents[2]
ENGINES = int(os.environ.get("CROWD_ENGINES", "4"))
RUNS = int(os.environ.get("CROWD_RUNS", "400"))


async def _program(store: str, name: str, runs: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.crowd", store, name, str(runs)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def _kill_amid_its_runs(program: asyncio.subprocess.Process, chance: random.Random) -> bool:
    """After some of its batches, at a random moment of the next. False if it was quicker than that."""
    assert program.stdout is not None
    for _ in range(chance.randrange(RUNS // ENGINES // BATCH)):
        await program.stdout.readline()
    with suppress(TimeoutError):
        await asyncio.wait_for(program.wait(), chance.uniform(0, 0.02))
    if program.returncode is None:
        program.send_signal(signal.SIGKILL)
    return await program.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_engines_killed_at_random_leave_no_run_stuck_and_none_doubled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    chance = random.Random(seed := random.randrange(1 << 30))
    async with Engine(store, lease=2.0, workflows=[FLOW]) as engine:
        over = asyncio.Event()
        engine.listen(lambda _: over.set())
        programs = [await _program(store, f"p{number}", RUNS // ENGINES) for number in range(ENGINES)]
        killed = sum(await asyncio.gather(*[_kill_amid_its_runs(one, chance) for one in programs]))
        while True:
            over.clear()  # before the look: what ends during it is not missed
            if all(one["status"] == "succeeded" for one in await engine.store.read("counts")):
                break
            await asyncio.wait_for(over.wait(), 60)
        runs = await engine.find(limit=10_000)
        assert {one["status"] for one in runs} == {"succeeded"}
        events = [one for one in await engine.events(limit=100_000) if one.kind == "step_succeeded"]
        assert len(events) == len({(one.run, one.task) for one in events}) == 3 * len(runs)
    with capsys.disabled():
        print(
            f"\nseed {seed}: {killed} of {ENGINES} engines killed, {len(runs)} runs, none stuck, none doubled"
        )
    assert killed


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_engines_that_live_share_one_store_without_a_refusal(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    programs = [await _program(store, f"p{number}", RUNS // ENGINES) for number in range(ENGINES)]
    await asyncio.gather(*[asyncio.wait_for(one.communicate(), 120) for one in programs])
    assert [one.returncode for one in programs] == [0] * ENGINES
    async with Engine(store) as engine:
        assert await engine.store.read("counts") == [{"status": "succeeded", "runs": RUNS}]
        (sizes,) = await engine.store.read("sizes")
        assert (sizes["steps"], sizes["events"]) == (3 * RUNS, 5 * RUNS)
