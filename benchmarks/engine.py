"""The engine against its floors in one run: chains, a fan-out and many runs at once, in memory and on SQLite.

Run: python -m benchmarks.engine [--json] [--rounds 5]. Floor and engine alternate, so that a machine whose speed drifts
gives the same ratios. `ratio` is engine over floor in steps per second: 0.5 means half the floor's speed.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.floors import AsyncioFloor, StoreFloor
from laneway import Engine, Workflow, task

CHAINS, WIDTH, AT_ONCE = 200, 500, 500
START: dict[str, Any] = {"n": 0, "blob": "x" * 180}

AIMS = {
    "memory chain": 0.25,
    "memory fan-out": 0.25,
    "memory many runs": 0.25,
    "commit chain": 0.5,
    "commit fan-out": 1 / 3,
    "commit many runs": 1 / 3,
    "fsync chain": 0.5,
    "fsync fan-out": 1 / 3,
    "fsync many runs": 1 / 3,
}
"""The least ratio asked for."""


@task
async def first(context: dict[str, Any]) -> dict[str, Any]:
    """One of three steps of a chain that each change one key."""
    return {"n": context["n"] + 1}


@task(dependencies=["first"])
async def second(context: dict[str, Any]) -> dict[str, Any]:
    """The second."""
    return {"n": context["n"] + 1}


@task(dependencies=["second"])
async def third(context: dict[str, Any]) -> dict[str, Any]:
    """The third."""
    return {"n": context["n"] + 1}


@task
async def numbers(count: int) -> list[int]:
    """What the fan-out maps over."""
    return list(range(count))


@task(each="numbers")
async def branch(number: int) -> int:
    """One branch."""
    return number + 1


@task
async def total(branch: list[int]) -> int:
    """The join."""
    return sum(branch)


CHAIN = Workflow("chain", [first, second, third])
FAN = Workflow("fan", [numbers, branch, total])


async def _timed(work: Callable[[], Awaitable[Any]], steps: int) -> float:
    begun = time.perf_counter()
    await work()
    return steps / (time.perf_counter() - begun)


async def _engine_rates(engine: Engine) -> dict[str, float]:
    async def chains() -> None:
        for _ in range(CHAINS):
            result = await engine.run(CHAIN, START)
            assert result.context["n"] == 3

    async def fan() -> None:
        result = await engine.run(FAN, {"count": WIDTH})
        assert result.context["total"] == WIDTH * (WIDTH + 1) // 2

    async def many() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(engine.run(CHAIN, START))

    return {
        "chain": await _timed(chains, 3 * CHAINS),
        "fan-out": await _timed(fan, WIDTH + 2),
        "many runs": await _timed(many, 3 * AT_ONCE),
    }


async def _asyncio_rates() -> dict[str, float]:
    floor = AsyncioFloor()

    async def chains() -> None:
        for _ in range(CHAINS):
            await floor.chain(START)

    async def many() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(floor.chain(START))

    return {
        "chain": await _timed(chains, 3 * CHAINS),
        "fan-out": await _timed(lambda: floor.fan_out(WIDTH), WIDTH + 1),
        "many runs": await _timed(many, 3 * AT_ONCE),
    }


async def _store_rates(floor: StoreFloor, base: int) -> dict[str, float]:
    async def chains() -> None:
        for number in range(CHAINS):
            await floor.chain(base + number)

    async def many() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(floor.chain(base + 10_000 + number))

    return {
        "chain": await _timed(chains, 3 * CHAINS),
        "fan-out": await _timed(lambda: floor.fan_out(base + 50_000, WIDTH), WIDTH),
        "many runs": await _timed(many, 3 * AT_ONCE),
    }


async def measured(rounds: int) -> list[dict[str, Any]]:
    """Medians over the rounds, engine and floor in turn."""
    seen: dict[str, list[tuple[float, float]]] = {}

    def note(prefix: str, engine: dict[str, float], floor: dict[str, float]) -> None:
        for name, rate in engine.items():
            seen.setdefault(f"{prefix} {name}", []).append((rate, floor[name]))

    with tempfile.TemporaryDirectory() as folder:
        async with Engine("memory://") as engine:
            await _engine_rates(engine)
            for _ in range(rounds):
                note("memory", await _engine_rates(engine), await _asyncio_rates())
        for durability, synchronous in (("commit", "normal"), ("fsync", "full")):
            floor = StoreFloor(Path(folder) / f"floor-{durability}.db", synchronous)
            async with Engine(f"sqlite:///{folder}/{durability}.db", durability=durability) as engine:
                await _engine_rates(engine)
                await _store_rates(floor, 1)
                for number in range(rounds):
                    note(
                        durability,
                        await _engine_rates(engine),
                        await _store_rates(floor, (number + 1) * 100_000),
                    )
            floor.close()
    return [
        {
            "what": name,
            "engine": statistics.median(one for one, _ in pairs),
            "floor": statistics.median(other for _, other in pairs),
            "ratio": statistics.median(one / other for one, other in pairs),
            "aim": AIMS[name],
        }
        for name, pairs in seen.items()
    ]


def main() -> int:
    """Measure, print, and say by the exit status whether every aim was reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5, help="how often engine and floor take turns")
    arguments = parser.parse_args()
    rows = asyncio.run(measured(arguments.rounds))
    if arguments.json:
        sys.stdout.write(json.dumps({"rows": rows}) + "\n")
    else:
        sys.stdout.write(f"{'steps per second':22} {'engine':>10} {'floor':>10} {'ratio':>7} {'aim':>6}\n")
        for row in rows:
            mark = "" if row["ratio"] >= row["aim"] else "  below"
            rates = f"{row['engine']:10,.0f} {row['floor']:10,.0f}"
            sys.stdout.write(f"{row['what']:22} {rates} {row['ratio']:7.2f} {row['aim']:6.2f}{mark}\n")
    return 0 if all(row["ratio"] >= row["aim"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
