"""Limits of a package: what the process lane enforces, and what other lanes refuse to promise."""

import json

import pytest
from tests.unit.lanes.conftest import Bench, MakePackage

from laneway._core.model import TaskSpec

SOURCE = """
    import os, subprocess, time
    from laneway import task

    @task
    def take(mib): return len(bytearray(mib * 1024 * 1024))

    @task
    def burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end: pass
        return "burnt"

    @task
    def swallow_and_burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            try:
                while time.process_time() < end: pass
            except BaseException: pass
        return "burnt"

    @task
    def open_many(count):
        files = [open(os.devnull) for _ in range(count)]
        return len(files)

    @task
    def start_many(count):
        children = [subprocess.Popen(["sleep", "5"]) for _ in range(count)]
        for child in children:
            child.kill()
            child.wait()
        return count

    @task
    def result(size): return "x" * size

    @task
    def prints(size):
        print("y" * size)
        return 1

    @task
    def echo(data): return 1

    @task
    def sleeps(seconds): time.sleep(seconds)
"""


async def test_memory_beyond_the_limit_is_a_memory_error_of_the_task(
    bench: Bench, package: MakePackage
) -> None:
    unit = package("limited", SOURCE, limits={"memory_mib": 64})
    assert await bench.value("process", unit, "take", mib=10) == 10 * 1024 * 1024
    assert (await bench.failure("process", unit, "take", mib=500))["type"] == "MemoryError"
    assert await bench.value("process", unit, "take", mib=10) == 10 * 1024 * 1024


@pytest.mark.parametrize("name", ["burn", "swallow_and_burn"])
async def test_cpu_time_is_for_each_attempt(bench: Bench, package: MakePackage, name: str) -> None:
    unit = package("limited", SOURCE, limits={"cpu_seconds": 1})
    for _ in range(3):
        assert await bench.value("process", unit, name, seconds=0.4) == "burnt"
    failure = await bench.failure("process", unit, name, seconds=30)
    assert (failure["kind"], failure["type"]) == ("timeout", "LimitExceeded")
    assert "cpu_seconds" in failure["message"]
    assert await bench.value("process", unit, name, seconds=0.1) == "burnt"


async def test_open_files_are_limited(bench: Bench, package: MakePackage) -> None:
    unit = package("limited", SOURCE, limits={"open_files": 20})
    assert await bench.value("process", unit, "open_many", count=10) == 10
    assert "Too many open files" in (await bench.failure("process", unit, "open_many", count=40))["message"]


async def test_child_processes_are_limited(bench: Bench, package: MakePackage) -> None:
    unit = package("limited", SOURCE, limits={"child_processes": 2}, policy={"subprocess": ("sleep",)})
    assert await bench.value("process", unit, "start_many", count=2) == 2
    failure = await bench.failure("process", unit, "start_many", count=4)
    assert failure["kind"] == "policy_violation"
    assert "2 child processes are allowed" in failure["message"]


async def test_result_and_context_sizes_are_limited_everywhere(bench: Bench, package: MakePackage) -> None:
    unit = package("limited", SOURCE, limits={"output_kib": 10, "context_kib": 1})
    for place in ("interpreter", "process", "thread"):
        assert len(await bench.value(place, unit, "result", size=9000)) == 9000
        assert "output_kib" in (await bench.failure(place, unit, "result", size=20_000))["message"]
        assert "context_kib" in (await bench.failure(place, unit, "echo", data="z" * 5000))["message"]
        printed = await bench.run(place, unit, "prints", size=50_000)
        assert len(printed.output) < 10_500, place


async def test_wall_time_of_the_package_and_of_one_task(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("limited", SOURCE, limits={"wall_seconds": 30, "tasks.sleeps.wall_seconds": 0.2})
    failure = await bench.failure(place, unit, "sleeps", seconds=20)
    assert failure["kind"] == "timeout"
    assert "0.2 s" in failure["message"]


async def test_concurrency_is_limited(bench: Bench, package: MakePackage, place: str) -> None:
    import asyncio

    unit = package("limited", SOURCE, limits={"concurrency": 1})
    await asyncio.gather(*(bench.run(place, unit, "sleeps", seconds=0.05) for _ in range(4)))
    assert len(bench.lanes[place].health().workers) == 1


async def test_lanes_refuse_limits_that_they_cannot_enforce(bench: Bench, package: MakePackage) -> None:
    spec = TaskSpec(id="take", reference="limited:take", is_async=True)
    for number, key in enumerate(("cpu_seconds", "memory_mib", "open_files", "child_processes")):
        unit = package("limited", SOURCE, folder=f"limited-{number}", limits={key: 5})
        for name in ("loop", "thread", "interpreter"):
            reason = bench.lanes[name].refusal(unit, spec)
            assert reason is not None
            assert key in reason
        assert bench.lanes["process"].refusal(unit, spec) is None
    unit = package("limited", SOURCE, folder="stoppable", limits={"stop": "kill"})
    assert [name for name, lane in bench.lanes.items() if lane.refusal(unit, spec)] == ["loop", "thread"]


async def test_printing_without_end_is_cut(bench: Bench, package: MakePackage, place: str) -> None:
    outcome = await bench.run(place, package("limited", SOURCE), "prints", size=5_000_000)
    assert json.loads(outcome.body) == 1
    assert len(outcome.output) < 70_000
    assert "bytes more were printed" in outcome.output
