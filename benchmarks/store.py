"""The engine against its floors: chains, a fan-out and many runs at once, in memory and on SQLite, per durability.

Run: python -m benchmarks store [--json] [--rounds 5] [--only commit]. Engine and floor take turns shape by shape, so
that a machine whose speed drifts gives the same ratios. `ratio` is engine over floor in steps per second: 0.5 means
half the floor's speed. `cpu` is the same of processor time (all threads), which other programs distort less.
Latency is that of one run of three steps (chain, many runs) or of the whole fan-out: median and 95th percentile.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.floors import AsyncioFloor, StoreFloor
from benchmarks.workflows import CHAIN, FAN, START
from laneway import Engine

CHAINS, WIDTH, AT_ONCE = 200, 500, 500

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
"""The least ratio asked for; `exit` is shown beside the floor of `commit`, without an aim."""

type Work = Callable[[list[float]], Awaitable[None]]
"""One shape, once; adds the seconds of each of its runs to the list."""


class Timed(NamedTuple):
    """One round of one shape."""

    rate: float
    """Steps per second."""
    cpu_us: float
    """Processor time per step."""
    seconds: list[float]
    """What each run took."""


async def _timed(work: Work, steps: int) -> Timed:
    seconds: list[float] = []
    begun, spent = time.perf_counter(), time.process_time()
    await work(seconds)
    took, used = time.perf_counter() - begun, time.process_time() - spent
    return Timed(steps / took, used / steps * 1e6, seconds)


def _shapes(
    chain: Callable[[], Awaitable[Any]], fan_out: Callable[[], Awaitable[Any]]
) -> dict[str, tuple[Work, int]]:
    """The three shapes, made of one chain of three steps and one fan-out."""

    async def alone(once: Callable[[], Awaitable[Any]], seconds: list[float]) -> None:
        begun = time.perf_counter()
        await once()
        seconds.append(time.perf_counter() - begun)

    async def chains(seconds: list[float]) -> None:
        for _ in range(CHAINS):
            await alone(chain, seconds)

    async def many(seconds: list[float]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(alone(chain, seconds))

    return {
        "chain": (chains, 3 * CHAINS),
        "fan-out": (lambda seconds: alone(fan_out, seconds), WIDTH + 2),
        "many runs": (many, 3 * AT_ONCE),
    }


def _engine_shapes(engine: Engine) -> dict[str, tuple[Work, int]]:
    async def chain() -> None:
        result = await engine.run(CHAIN, START)
        assert result.context["n"] == 3

    async def fan_out() -> None:
        result = await engine.run(FAN, {"count": WIDTH})
        assert result.context["total"] == WIDTH * (WIDTH + 1) // 2

    return _shapes(chain, fan_out)


def _asyncio_shapes() -> dict[str, tuple[Work, int]]:
    floor = AsyncioFloor()
    return _shapes(lambda: floor.chain(START), lambda: floor.fan_out(WIDTH))


def _floor_shapes(floor: StoreFloor) -> dict[str, tuple[Work, int]]:
    numbers = iter(range(1, 10**9))
    return _shapes(lambda: floor.chain(next(numbers)), lambda: floor.fan_out(next(numbers), WIDTH))


async def _pairs(
    engine: Mapping[str, tuple[Work, int]], floor: Mapping[str, tuple[Work, int]], rounds: int
) -> dict[str, list[tuple[Timed, Timed]]]:
    """Engine and floor in turn, shape by shape; the first round is not counted."""
    seen: dict[str, list[tuple[Timed, Timed]]] = {name: [] for name in engine}
    for number in range(rounds + 1):
        for name, shape in engine.items():
            pair = await _timed(*shape), await _timed(*floor[name])
            if number:
                seen[name].append(pair)
    return seen


def _row(what: str, pairs: list[tuple[Timed, Timed]]) -> dict[str, Any]:
    latencies = sorted(one for engine, _ in pairs for one in engine.seconds)
    return {
        "what": what,
        "engine": statistics.median(engine.rate for engine, _ in pairs),
        "floor": statistics.median(floor.rate for _, floor in pairs),
        "ratio": statistics.median(engine.rate / floor.rate for engine, floor in pairs),
        "aim": AIMS.get(what),
        "cpu_us": statistics.median(engine.cpu_us for engine, _ in pairs),
        "cpu_ratio": statistics.median(floor.cpu_us / engine.cpu_us for engine, floor in pairs),
        "median_ms": statistics.median(latencies) * 1e3,
        "p95_ms": latencies[int(len(latencies) * 0.95)] * 1e3,
    }


async def measured(rounds: int, only: str = "") -> list[dict[str, Any]]:
    """Medians over the rounds."""
    rows: list[dict[str, Any]] = []

    def note(prefix: str, seen: dict[str, list[tuple[Timed, Timed]]]) -> None:
        rows.extend(_row(f"{prefix} {name}", pairs) for name, pairs in seen.items())

    with tempfile.TemporaryDirectory() as folder:
        if only in ("", "memory"):
            async with Engine("memory://") as engine:
                note("memory", await _pairs(_engine_shapes(engine), _asyncio_shapes(), rounds))
        for durability, synchronous in (("commit", "normal"), ("fsync", "full"), ("exit", "normal")):
            if only not in ("", durability):
                continue
            floor = StoreFloor(Path(folder) / f"floor-{durability}.db", synchronous)
            async with Engine(f"sqlite:///{folder}/{durability}.db", durability=durability) as engine:
                note(durability, await _pairs(_engine_shapes(engine), _floor_shapes(floor), rounds))
            floor.close()
    return rows


def main() -> int:
    """Measure, print, and say by the exit status whether every aim was reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5, help="how often engine and floor take turns")
    parser.add_argument("--only", default="", choices=["", "memory", "commit", "fsync", "exit"])
    arguments = parser.parse_args()
    rows = asyncio.run(measured(arguments.rounds, arguments.only))
    missed = [row for row in rows if row["aim"] is not None and row["ratio"] < row["aim"]]
    if arguments.json:
        sys.stdout.write(json.dumps({"rows": rows}) + "\n")
        return 1 if missed else 0
    sys.stdout.write(
        f"{'steps per second':18} {'engine':>8} {'floor':>8} {'ratio':>6} {'aim':>5}"
        f" {'cpu µs':>7} {'cpu':>5} {'median ms':>10} {'p95 ms':>8}\n"
    )
    for row in rows:
        aim = "    -" if row["aim"] is None else f"{row['aim']:5.2f}"
        sys.stdout.write(
            f"{row['what']:18} {row['engine']:8,.0f} {row['floor']:8,.0f} {row['ratio']:6.2f} {aim}"
            f" {row['cpu_us']:7.1f} {row['cpu_ratio']:5.2f} {row['median_ms']:10.2f} {row['p95_ms']:8.2f}"
            f"{'  below' if row in missed else ''}\n"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
