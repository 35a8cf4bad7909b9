"""Hosts that die at random moments, and pipes that fill up: every order gets an outcome, and the right one."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.unit.lanes.conftest import Bench, MakePackage
from tests.unit.lanes.test_fleet import host_pids

SOURCE = """
    import time
    from laneway import task

    @task
    def echo(data): return data

    @task
    def slow(seconds, data):
        time.sleep(seconds)
        return data
"""


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_hosts_killed_at_random_moments_lose_no_order(
    package: MakePackage, place: str, seed: int
) -> None:
    dice = random.Random(seed)
    bench = Bench(workers=3, per_host=2)
    await bench.open()
    unit = package("chaos", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    runs = [
        asyncio.ensure_future(
            bench.run(place, unit, "slow", seconds=dice.choice([0, 0, 0.005, 0.02]), data=number)
            if dice.random() < 0.7
            else bench.run(place, unit, "echo", data=number)
        )
        for number in range(1000)
    ]
    for _ in range(8):
        await asyncio.sleep(0.15 + dice.random() * 0.25)
        pids = host_pids(bench.fleet)
        if pids:
            os.kill(dice.choice(sorted(pids)), signal.SIGKILL)
    async with asyncio.timeout(40):
        outcomes = await asyncio.gather(*runs)
    kinds: Counter[str] = Counter()
    for number, outcome in enumerate(outcomes):
        found = json.loads(outcome.body)
        if outcome.kind == "value":
            assert found == number
            kinds["value"] += 1
        else:
            assert found["kind"] == "lost_lane", found
            assert "SIGKILL" in found["message"]
            kinds["lost"] += 1
    assert kinds["lost"] <= 40
    assert kinds["value"] + kinds["lost"] == 1000
    assert bench.lanes[place].health().running == 0
    await bench.close()


async def test_full_pipes_in_both_directions_do_not_block_the_engine(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("chaos", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    large = "x" * 3_000_000
    slow = [asyncio.ensure_future(bench.run(place, unit, "slow", seconds=0.2, data=large)) for _ in range(4)]
    more = [asyncio.ensure_future(bench.run(place, unit, "echo", data=large)) for _ in range(8)]
    longest, last = 0.0, asyncio.get_running_loop().time()
    while not all(one.done() for one in (*slow, *more)):
        await asyncio.sleep(0.005)
        now = asyncio.get_running_loop().time()
        longest, last = max(longest, now - last), now
    assert {len(one.result().body) for one in (*slow, *more)} == {len(large) + 2}
    assert longest < 2  # generous: machines that run tests are busy


@pytest.mark.parametrize("place", ["interpreter", "process", "thread"])
async def test_100_mb_go_in_and_out(bench: Bench, package: MakePackage, place: str) -> None:
    unit = package("chaos", SOURCE)
    large = "x" * 100_000_000
    assert len((await bench.run(place, unit, "echo", data=large)).body) == len(large) + 2


async def test_cancelled_orders_leave_room_for_others(bench: Bench, package: MakePackage, place: str) -> None:
    unit = package("chaos", SOURCE)
    await bench.value(place, unit, "echo", data=1)
    runs = [
        asyncio.ensure_future(bench.run(place, unit, "slow", seconds=0.01, data=number))
        for number in range(100)
    ]
    await asyncio.sleep(0.05)
    for run in runs[::2]:
        run.cancel()
    outcomes = await asyncio.gather(*runs, return_exceptions=True)
    kept = [json.loads(one.body) for one in outcomes if not isinstance(one, BaseException)]
    assert set(kept) >= set(range(1, 100, 2))
    assert await bench.value(place, unit, "echo", data="after") == "after"
    assert bench.lanes[place].health().queued == 0


LOADS_SLOWLY = """
    import os, time
    from laneway import task

    while os.path.exists("@GATE@"): time.sleep(0.01)

    @task
    def echo(data): return data
"""


async def test_hosts_that_others_kill_while_they_load_do_not_fail_what_waits(
    bench: Bench, package: MakePackage, place: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    source = LOADS_SLOWLY.replace("@GATE@", str(gate))
    unit = package("slow", source, policy={"filesystem.read": (str(tmp_path),)})
    running = asyncio.ensure_future(bench.value(place, unit, "echo", data=1))
    killed: set[int] = set()
    async with asyncio.timeout(40):
        while len(killed) < 5:
            for pid in host_pids(bench.fleet) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.01)
        gate.unlink()
        assert await running == 1


async def test_import_that_always_ends_its_process_fails_what_waits(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("ends", "import os, signal\nos._exit(3)\n")
    failure = await bench.failure(place, unit, "echo", data=1)
    assert failure["kind"] == "lost_lane"
    assert "exited with status 3 while importing ends" in failure["message"]
