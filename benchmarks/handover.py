"""The lanes against the standard pools: round trip of 1 KB from asyncio, tiny tasks per second, CPU on two cores.

Run: python benchmarks/handover.py [--json] [--no-pin] [--memory]. Ratios come from runs that alternate. Processor time
(`CPU`, for tiny tasks and for tasks of 1 KB) tells the same on a busy machine: on one core it is what bounds the rate.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, InterpreterPoolExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import handover_tasks
from laneway.authoring import spec_of
from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
from laneway.ports import Lane, StepOrder, Unit

PAYLOAD = json.dumps({"data": "x" * 1000}).encode()
POOL = "InterpreterPoolExecutor"
UNIT = Unit(
    key="module:benchmarks.handover_tasks",
    kind="module",
    entry="benchmarks.handover_tasks",
    inherited=tuple(sys.path),
    name="handover_tasks",
)


def order(function: Callable[..., Any], payload: bytes = PAYLOAD) -> StepOrder:
    spec = spec_of(function)
    assert spec is not None
    return StepOrder(unit=UNIT, task=spec, payload=payload, run="bench")


async def median_us(call: Callable[[], Awaitable[Any]], times: int) -> float:
    spent = []
    for _ in range(times):
        begun = time.perf_counter_ns()
        await call()
        spent.append(time.perf_counter_ns() - begun)
    return statistics.median(spent) / 1000


def processor_ns() -> int:
    """What this process and everything it started used so far, all threads; other programs' work is not in it."""
    spent, pids = 0, [os.getpid()]
    while pids:
        for thread in Path(f"/proc/{pids.pop()}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
            pids += map(int, (thread / "children").read_text().split())
    return spent


async def cost_us(start: Callable[[], Awaitable[Any]], tasks: int, depth: int) -> float:
    """Microseconds of processor time for one task. On one core with nothing else to do, it is the time it takes."""
    begun = processor_ns()
    await rate(start, tasks, depth)
    return (processor_ns() - begun) / tasks / 1000


async def rate(start: Callable[[], Awaitable[Any]], tasks: int, depth: int) -> float:
    left = tasks

    async def drive() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await start()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(depth):
            group.create_task(drive())
    return tasks / (time.perf_counter() - begun)


async def compare(rounds: int, pin: bool) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    if pin:
        os.sched_setaffinity(0, cores[:1])
    fleet = Fleet(workers=2)
    lanes: dict[str, Lane] = {
        lane.name: lane
        for lane in (LoopLane(fleet), ThreadLane(fleet), InterpreterLane(fleet), ProcessLane(fleet))
    }
    for lane in lanes.values():
        await lane.open()
    loop = asyncio.get_running_loop()
    pools: dict[str, Executor] = {
        "ThreadPoolExecutor": ThreadPoolExecutor(2),
        "InterpreterPoolExecutor": InterpreterPoolExecutor(2),
        "ProcessPoolExecutor": ProcessPoolExecutor(2, mp_context=get_context("forkserver")),
    }
    echo, aecho = order(handover_tasks.echo), order(handover_tasks.aecho)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        name: (lambda pool=pool: loop.run_in_executor(pool, handover_tasks.raw, PAYLOAD))  # type: ignore[misc]
        for name, pool in pools.items()
    }
    calls["loop lane"] = lambda: lanes["loop"].run(aecho)
    for name in ("thread", "interpreter", "process"):
        calls[f"{name} lane"] = lambda name=name: lanes[name].run(echo)  # type: ignore[misc]
    trips: dict[str, list[float]] = {name: [] for name in calls}
    rates: dict[str, list[float]] = {name: [] for name in calls}
    kilobytes: dict[str, list[float]] = {name: [] for name in calls}
    costs: dict[str, list[float]] = {name: [] for name in calls}
    tiny, atiny = order(handover_tasks.echo, b'{"data":1}'), order(handover_tasks.aecho, b'{"data":1}')
    tinies: dict[str, Callable[[], Awaitable[Any]]] = {
        name: (lambda pool=pool: loop.run_in_executor(pool, handover_tasks.raw, b"1"))  # type: ignore[misc]
        for name, pool in pools.items()
    }
    tinies["loop lane"] = lambda: lanes["loop"].run(atiny)
    for name in ("thread", "interpreter", "process"):
        tinies[f"{name} lane"] = lambda name=name: lanes[name].run(tiny)  # type: ignore[misc]
    for call in calls.values():
        await rate(call, 500, 64)
        await median_us(call, 100)
    for _ in range(rounds):
        for name, call in calls.items():
            trips[name].append(await median_us(call, 300))
        for name, call in tinies.items():
            rates[name].append(await rate(call, 4000, 64))
        for name, call in tinies.items():
            costs[name].append(await cost_us(call, 4000, 64))
        for name, call in calls.items():
            kilobytes[name].append(await cost_us(call, 4000, 64))
    if pin:
        os.sched_setaffinity(0, cores)
    for pool in pools.values():
        pool.shutdown()
    for lane in lanes.values():
        await lane.close(grace=1)
    speedup = await two_cores(rounds)
    base_trip, base_rate = trips[POOL], rates[POOL]
    process_trip = trips["ProcessPoolExecutor"]

    def ratio(one: list[float], other: list[float]) -> float:
        return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 3)

    return {
        "pinned": pin,
        "rows": {
            name: {
                "round_trip_us": round(statistics.median(trips[name]), 1),
                "tasks_per_s": round(statistics.median(rates[name])),
                "trip_vs_interpreter_pool": ratio(trips[name], base_trip),
                "trip_vs_process_pool": ratio(trips[name], process_trip),
                "rate_vs_interpreter_pool": ratio(rates[name], base_rate),
                "processor_us": round(min(costs[name]), 1),
                "processor_vs_interpreter_pool": round(min(costs[POOL]) / min(costs[name]), 2),
                "processor_1kb_us": round(min(kilobytes[name]), 1),
                "processor_1kb_vs_interpreter_pool": round(min(kilobytes[POOL]) / min(kilobytes[name]), 2),
            }
            for name in calls
        },
        "two_core_speedup": speedup,
    }


async def two_cores(rounds: int) -> dict[str, float]:
    """CPU work on two interpreters against the same work inline, alternating; the lane and the standard pool.

    `bound by processor time` is what two free cores would give: twice the inline work over all that the lane used.
    """
    fleet = Fleet(workers=2)
    lane = InterpreterLane(fleet)
    await lane.open()
    work = order(handover_tasks.primes, b'{"limit":60000}')
    await asyncio.gather(lane.run(work), lane.run(work))
    pool = InterpreterPoolExecutor(2)
    list(pool.map(handover_tasks.primes, [1000] * 8))
    ratios: list[float] = []
    pooled: list[float] = []
    inline_ns: list[int] = []
    lane_ns: list[int] = []
    for _ in range(rounds):
        begun, used = time.perf_counter(), processor_ns()
        for _ in range(8):
            handover_tasks.primes(60000)
        inline = time.perf_counter() - begun
        inline_ns.append(processor_ns() - used)
        begun, used = time.perf_counter(), processor_ns()
        await asyncio.gather(*(lane.run(work) for _ in range(8)))
        ratios.append(inline / (time.perf_counter() - begun))
        lane_ns.append(processor_ns() - used)
        begun = time.perf_counter()
        await asyncio.to_thread(list, pool.map(handover_tasks.primes, [60000] * 8))
        pooled.append(inline / (time.perf_counter() - begun))
    pool.shutdown()
    await lane.close(grace=1)
    return {
        "interpreter lane": round(statistics.median(ratios), 2),
        "InterpreterPoolExecutor": round(statistics.median(pooled), 2),
        "bound by processor time": round(2 * min(inline_ns) / min(lane_ns), 2),
        "lane against pool": round(statistics.median(a / b for a, b in zip(ratios, pooled, strict=True)), 2),
    }


def private_mib(pids: set[int]) -> float:
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean", "Private_Dirty")):
                kib += int(line.split()[1])
    return kib / 1024


async def memory() -> dict[str, float]:
    """Private memory of one more worker of each kind, each loaded with the same module."""
    found = {}
    for name, kind in (("interpreter", InterpreterLane), ("process", ProcessLane)):
        fleet = Fleet(workers=1, per_host=16)
        lane = kind(fleet)
        await lane.open()
        seen = []
        for number in range(6):
            unit = msgspec.structs.replace(UNIT, key=f"{UNIT.key}-{number}")
            await lane.run(msgspec.structs.replace(order(handover_tasks.echo), unit=unit))
            seen.append(private_mib({int(worker["pid"]) for worker in lane.health().workers}))
        found[f"first {name} worker"] = round(seen[0], 1)
        found[f"further {name} worker"] = round((seen[-1] - seen[0]) / 5, 1)
        await lane.close(grace=1)
    for method in ("forkserver", "spawn"):
        with ProcessPoolExecutor(4, mp_context=get_context(method)) as pool:
            pids = set(pool.map(handover_tasks.pid, [0.05] * 16))
            found[f"{method} pool worker"] = round(private_mib(pids) / len(pids), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-pin", action="store_true")
    parser.add_argument("--memory", action="store_true", help="report memory per worker instead")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(asyncio.run(memory()), indent=2))
        return
    found = asyncio.run(compare(options.rounds, not options.no_pin))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{'':26}{'round trip':>12}{'tasks/s':>10}{'trip/IPE':>10}{'trip/PPE':>10}{'rate/IPE':>10}{'1KB/IPE':>10}"
    )
    for name, row in found["rows"].items():
        print(
            f"{name:26}{row['round_trip_us']:>9} us{row['tasks_per_s']:>10}{row['trip_vs_interpreter_pool']:>10}"
            f"{row['trip_vs_process_pool']:>10}{row['rate_vs_interpreter_pool']:>10}"
            f"{row['processor_us']:>9}{row['processor_vs_interpreter_pool']:>9}"
            f"{row['processor_1kb_us']:>9}{row['processor_1kb_vs_interpreter_pool']:>9}"
        )
    print(f"two cores, CPU work, against inline: {found['two_core_speedup']}")


if __name__ == "__main__":
    main()
