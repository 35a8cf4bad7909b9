"""What a hundred thousand schedules cost, and what a pool costs. `python benchmarks/schedules.py [--jobs 100000]`."""

import argparse
import asyncio
import json
import resource
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from laneway import Backpressure, Engine, Pool, Scheduler, SharedPool, Workflow, task
from laneway._core.jobs import Change, Job, JobState
from laneway._core.timetable import Timetable, next_after
from laneway.testing.clock import FakeClock


@task
async def note(number: int) -> int:
    return number


flow = Workflow("note", [note])
START = datetime(2027, 1, 1, tzinfo=UTC)


def memory_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def schedules(jobs: int, due: int) -> dict[str, Any]:
    """Write `jobs` daily schedules, start a scheduler on them, and go through a moment at which `due` are due."""
    found: dict[str, Any] = {"jobs": jobs, "due at one moment": due}
    clock = FakeClock(START.timestamp())
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/laneway.db"
        async with Engine(url) as engine:
            book, _ = engine.scheduling()
            began = perf_counter()
            for first in range(0, jobs, 5000):
                states = [
                    (state_of(number, is_due=number < due), True)
                    for number in range(first, min(first + 5000, jobs))
                ]
                await book.write(Change(define=states))
            found["write them, s"] = round(perf_counter() - began, 2)
        found["file, MB"] = round(sum(one.stat().st_size for one in Path(folder).iterdir()) / 1e6, 1)
        async with Engine(url) as engine:
            before = memory_mb()
            began = perf_counter()
            scheduler = Scheduler(engine, clock=clock)
            for number in range(due):  # as a program does with its own jobs when it starts
                scheduler._workflows[f"job-{number:06}"] = flow
            await scheduler.start()
            await scheduler.settled()
            found["start-up, ms"] = round((perf_counter() - began) * 1e3, 1)
            found["memory for them, MB"] = round(memory_mb() - before, 1)
            looks: list[float] = []
            for _ in range(50):
                clock.advance(1.0)
                began = perf_counter()
                await scheduler.settled()
                looks.append(perf_counter() - began)
            found["a look with nothing due, ms"] = round(median(looks) * 1e3, 2)
            began = perf_counter()
            clock.advance(60)
            await scheduler.settled()
            assert len(await scheduler.history(limit=due)) == due
            found["per due moment with its run, ms"] = round((perf_counter() - began) / due * 1e3, 2)
            found["memory after, MB"] = round(memory_mb() - before, 1)
            cpu = process_time()
            await asyncio.sleep(1)
            found["idle CPU, ms per s"] = round((process_time() - cpu) * 1e3, 2)
            await scheduler.close()
    return found


def state_of(number: int, *, is_due: bool) -> JobState:
    due = START + (timedelta(seconds=60) if is_due else timedelta(days=1, seconds=number % 86400))
    job = Job(
        f"job-{number:06}",
        f"{__file__}:note",
        {"number": number},
        every_seconds=86400.0,
        anchor=due - timedelta(days=1),
    )
    return JobState(job, False, due, due)


def cron() -> dict[str, Any]:
    """The next moment of some expressions."""
    found: dict[str, Any] = {}
    for text, zone in [
        ("*/5 * * * *", "UTC"),
        ("30 2 * * *", "Europe/Berlin"),
        ("0 0 29 2 *", "America/New_York"),
    ]:
        table = Timetable(cron=text, timezone=zone)
        next_after(table, START)
        began = perf_counter()
        for number in range(300):
            next_after(table, START + timedelta(hours=number))
        found[f"next of {text} in {zone}, us"] = round((perf_counter() - began) / 300 * 1e6, 1)
    return found


async def pools() -> dict[str, Any]:
    """Taking and giving back, with and without others that want it too."""
    found: dict[str, Any] = {}
    pool, semaphore = Pool("p", slots=4), asyncio.Semaphore(4)
    for name, thing in (("pool", pool), ("asyncio.Semaphore", semaphore)):
        began = perf_counter()
        for _ in range(50_000):
            async with thing:
                pass
        found[f"{name}, free, us"] = round((perf_counter() - began) / 50_000 * 1e6, 2)

        async def use(thing: Any = thing) -> None:
            for _ in range(500):
                async with thing:
                    await asyncio.sleep(0)

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(use())
        found[f"{name}, 40 tasks for 4 slots, us"] = round((perf_counter() - began) / 20_000 * 1e6, 2)

    def thread() -> None:
        for _ in range(2_000):
            with pool.hold():
                pass

    threads = [threading.Thread(target=thread) for _ in range(4)]
    began = perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found["pool, 4 threads for 4 slots, us"] = round((perf_counter() - began) / 8_000 * 1e6, 2)
    return found


async def shared_pools() -> dict[str, Any]:
    """Taking and giving back what all engines of a store hold together: a write to the store each."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        slots, rate = SharedPool("slots", slots=4), SharedPool("rate", rate=1e6, per=1.0)
        async with Engine(f"sqlite:///{folder}/laneway.db", pools=[slots, rate]):
            for pool in (slots, rate):
                began = perf_counter()
                for _ in range(1_000):
                    async with pool:
                        pass
                found[f"shared {pool.name}, free, us"] = round((perf_counter() - began) / 1_000 * 1e6, 1)
    return found


@task
async def forever(number: int) -> int:
    await asyncio.Event().wait()
    return number


async def refusals() -> dict[str, Any]:
    """What a start costs that is refused because the engine is full."""
    async with Engine("memory://", max_runs=1, grace=0) as engine:
        await engine.start(Workflow("forever", [forever]), {"number": 1})
        began = perf_counter()
        for number in range(5_000):
            try:
                await engine.start(flow, {"number": number}, wait=False)
            except Backpressure:
                continue
        return {"a start that is refused, us": round((perf_counter() - began) / 5_000 * 1e6, 1)}


@task
async def numbers(n: int) -> list[int]:
    return list(range(n))


@task(each="numbers")
async def plain(numbers: int) -> int:
    return numbers


@task(each="numbers", pool="p")
async def pooled(numbers: int) -> int:
    return numbers


async def engine_cost() -> dict[str, Any]:
    """A step with a pool against one without, and starts against a full engine."""
    found: dict[str, Any] = {}
    flows = {"plain": Workflow("plain", [numbers, plain]), "pooled": Workflow("pooled", [numbers, pooled])}
    async with Engine("memory://", pools=[Pool("p", slots=100)]) as engine:
        for name, one in flows.items():
            await engine.run(one, {"n": 10})
            times: list[float] = []
            for _ in range(5):
                began = perf_counter()
                await engine.run(one, {"n": 2000})
                times.append((perf_counter() - began) / 2000 * 1e6)
            found[f"a {name} step, us"] = round(min(times), 1)
    for most in (10, 10_000):
        async with Engine("memory://", max_runs=most) as engine:
            began = perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(2_000):
                    group.create_task(engine.run(flow, {"number": number}))
            found[f"2000 starts, room for {most}, us each"] = round((perf_counter() - began) / 2_000 * 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=1_000)
    chosen = parser.parse_args()
    found = {
        "cron": cron(),
        "pools": asyncio.run(pools()) | asyncio.run(shared_pools()),
        "engine": asyncio.run(engine_cost()) | asyncio.run(refusals()),
        "schedules": asyncio.run(schedules(chosen.jobs, chosen.due)),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
