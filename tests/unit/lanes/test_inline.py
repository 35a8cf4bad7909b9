"""Interpreters inside the program's own process, and buffers that need no copy."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent import interpreters
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from tests.unit.lanes.conftest import Bench, MakePackage

from laneway.lanes._stopping import Ladder
from laneway.lanes.buffers import lent

SOURCE = """
    import os, sys, time
    from laneway import task
    from laneway.lanes.buffers import borrowed

    @task
    def pid(): return os.getpid()

    @task
    def path(): return [sys.path, "HOME" in os.environ, sorted(os.environ)]

    @task
    def ends(buffer):
        view = borrowed(buffer)
        return [view[0], view[-1], len(view)]

    @task
    def writes(buffer):
        borrowed(buffer)[0] = 99
        return 1

    @task
    def sleeps(seconds): time.sleep(seconds)

    @task
    def loop():
        while True: pass
"""
FREE = {"native": True}


@pytest.fixture
async def inline() -> AsyncIterator[Bench]:
    bench = Bench(workers=2, placement="inline")
    await bench.open()
    yield bench
    await bench.close()


async def test_runs_in_this_process_and_goes_when_closed(inline: Bench, package: MakePackage) -> None:
    environment = dict(os.environ)
    unit = package("inline", SOURCE)
    assert await inline.value("interpreter", unit, "pid") == os.getpid()
    path, _, seen = await inline.value("interpreter", unit, "path")
    assert tuple(path[:2]) == unit.paths
    assert not any("-packages" in one for one in path)
    assert "PYTEST_CURRENT_TEST" not in seen
    assert dict(os.environ) == environment
    await inline.close()
    end = time.monotonic() + 5
    while len(interpreters.list_all()) > 1:
        assert time.monotonic() < end


async def test_buffer_of_100_mb_is_lent_without_a_copy(inline: Bench, package: MakePackage) -> None:
    unit = package("inline", SOURCE, policy=FREE)
    data = bytearray(100 * 1024 * 1024)
    data[0], data[-1] = 7, 9
    with lent(data) as reference:
        assert await inline.value("interpreter", unit, "ends", buffer=reference) == [7, 9, len(data)]
        spent = []
        for _ in range(20):  # the quickest counts: the machine may be busy
            begun = time.perf_counter()
            assert await inline.value("interpreter", unit, "writes", buffer=reference) == 1
            spent.append(time.perf_counter() - begun)
        assert min(spent) < 0.005  # copying takes more than ten times as long
    assert data[0] == 99
    constant = bytes(data)
    with lent(constant) as reference:
        assert (await inline.value("interpreter", unit, "ends", buffer=reference))[0] == 99
        failure = await inline.failure("interpreter", unit, "writes", buffer=reference)
        assert failure["type"] == "TypeError"


async def test_lent_buffer_is_refused_elsewhere(bench: Bench, package: MakePackage, place: str) -> None:
    unit = package("inline", SOURCE, policy=FREE)
    with lent(bytearray(10)) as reference:
        failure = await bench.failure(place, unit, "ends", buffer=reference)
    assert "in the process that lent it" in failure["message"]


async def test_python_code_is_interrupted(package: MakePackage) -> None:
    bench = Bench(workers=1, placement="inline", ladder=Ladder(interrupt=50.0))
    await bench.open()
    outcome = await bench.run("interpreter", package("inline", SOURCE), "loop", timeout=0.2)
    assert outcome.stopped_by == "interrupt"
    await bench.close()


async def test_c_code_is_quarantined(inline: Bench, package: MakePackage) -> None:
    unit = package("inline", SOURCE)
    outcome = await inline.run("interpreter", unit, "sleeps", timeout=0.2, seconds=4)
    assert outcome.stopped_by == "quarantine"
    assert "quarantine" in json.loads(outcome.body)["message"]
    assert inline.lanes["interpreter"].health().quarantined == 1
    assert await inline.value("interpreter", unit, "pid") == os.getpid()


async def test_full_quarantine_refuses_with_the_reason_or_takes_the_fallback(package: MakePackage) -> None:
    bench = Bench(workers=1, placement="inline", per_host=1)
    await bench.open()
    unit = package("inline", SOURCE)
    assert (await bench.run("interpreter", unit, "sleeps", timeout=0.1, seconds=5)).stopped_by == "quarantine"
    failure = await bench.failure("interpreter", unit, "pid")
    assert "1 interpreters in this process are stuck" in failure["message"]
    order = bench.order(unit, "pid")
    moved = await bench.lanes["interpreter"].run(
        msgspec.structs.replace(order, task=order.task._replace(fallback=True))
    )
    assert (moved.kind, moved.lane) == ("value", "process")
    assert json.loads(moved.body) != os.getpid()
    await bench.close()


def test_program_with_idle_and_stuck_interpreters_ends(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        dedent("""
        import asyncio, os, sys, time
        from laneway.authoring import spec_of, task
        from laneway.lanes import Fleet, InterpreterLane
        from laneway.ports import StepOrder, Unit

        @task(timeout=0.2)
        def sleeps(): time.sleep(30)

        @task
        def one(): return 1

        async def main():
            lane = InterpreterLane(Fleet(workers=2, placement="inline"))
            await lane.open()
            unit = Unit(key="script", kind="script", entry=__file__, inherited=tuple(sys.path))
            for function in (sleeps, one):
                outcome = await lane.run(StepOrder(unit=unit, task=spec_of(function), payload=b"{}", run="r"))
                print(outcome.kind, outcome.stopped_by, flush=True)

        if __name__ == "__main__":
            asyncio.run(main())
    """)
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.stdout == "failure quarantine\nvalue \n", ended.stderr
