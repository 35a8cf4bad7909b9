"""What `laneway.aio` costs next to plain asyncio: the same coroutine, created, run to its end and awaited.

    python -m benchmarks.aio [--json] [--rounds N]

Every figure is a ratio taken in one process: the variants are run in turn, in small batches, and each batch is
compared with the plain batch next to it, so that other load on the machine meets all of them alike.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterator
from time import perf_counter_ns
from typing import Any

from laneway import aio

BATCH = 500
AIM_METADATA = 1.6
AIM_PLAIN = 1.15

type Create = Callable[[], asyncio.Task[None]]

RECORD = aio.TaskMetadata(operation_name="send invoice", correlation_id="order-42")


class Count:
    """The smallest useful observer: how many are running."""

    def __init__(self) -> None:
        self.running = 0

    def created(self, task: asyncio.Task[Any], metadata: aio.TaskMetadata | None) -> None:
        self.running += 1

    def finished(
        self, task: asyncio.Task[Any], metadata: aio.TaskMetadata | None, outcome: str, seconds: float
    ) -> None:
        self.running -= 1


async def nothing() -> None:
    """Finish in the first step."""


async def one_turn() -> None:
    """Give the loop one turn, as a task that waits for something does."""
    await asyncio.sleep(0)


@contextlib.contextmanager
def installed(*observers: aio.TaskObserver) -> Iterator[None]:
    with aio.install_task_factory(observers=observers):
        yield


@contextlib.contextmanager
def bare_factory() -> Iterator[None]:
    """The least a task factory in Python can do, for comparison."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **keywords: asyncio.Task(coro, loop=loop, **keywords))
    try:
        yield
    finally:
        loop.set_task_factory(None)


type Work = Callable[[], Coroutine[Any, Any, None]]
type Run = Callable[[Create], Coroutine[Any, Any, tuple[int, int]]]
type Variant = tuple[
    str, Callable[[], contextlib.AbstractContextManager[None]], Callable[[Work], Create], float | None
]

VARIANTS: list[Variant] = [
    (
        "asyncio.create_task again (noise)",
        contextlib.nullcontext,
        lambda w: lambda: asyncio.create_task(w()),
        None,
    ),
    ("a bare lambda as task factory", bare_factory, lambda w: lambda: asyncio.create_task(w()), None),
    ("no factory, no metadata", contextlib.nullcontext, lambda w: lambda: aio.create_task(w()), AIM_PLAIN),
    (
        "no factory, metadata dropped",
        contextlib.nullcontext,
        lambda w: lambda: aio.create_task(w(), metadata=RECORD),
        None,
    ),
    ("installed, no metadata", installed, lambda w: lambda: aio.create_task(w()), AIM_PLAIN),
    ("installed, metadata", installed, lambda w: lambda: aio.create_task(w(), metadata=RECORD), None),
    (
        "installed, metadata, one observer",
        lambda: installed(Count()),
        lambda w: lambda: aio.create_task(w(), metadata=RECORD),
        AIM_METADATA,
    ),
    (
        "installed, metadata as a mapping, one observer",
        lambda: installed(Count()),
        lambda w: (
            lambda: aio.create_task(
                w(), metadata={"operation_name": "send invoice", "correlation_id": "order-42"}
            )
        ),
        None,
    ),
    (
        "installed, asyncio.create_task, one observer",
        lambda: installed(Count()),
        lambda w: lambda: asyncio.create_task(w()),
        None,
    ),
]
EAGER: list[Variant] = [
    (
        "installed, no metadata",
        installed,
        lambda w: lambda: aio.create_task(w(), eager_start=True),
        AIM_PLAIN,
    ),
    (
        "installed, name and metadata",
        installed,
        lambda w: lambda: aio.create_task(w(), name="n", metadata=RECORD, eager_start=True),
        None,
    ),
    (
        "installed, name, metadata, one observer",
        lambda: installed(Count()),
        lambda w: lambda: aio.create_task(w(), name="n", metadata=RECORD, eager_start=True),
        None,
    ),
]


async def batch(create: Create) -> tuple[int, int]:
    """Nanoseconds for creating one batch, and for creating it and running it to its end."""
    started = perf_counter_ns()
    tasks = [create() for _ in range(BATCH)]
    created = perf_counter_ns()
    for task in tasks:
        await task
    await asyncio.sleep(0)  # what an observer causes is still in the loop's queue: it belongs to this batch
    return created - started, perf_counter_ns() - started


async def one_by_one(create: Create) -> tuple[int, int]:
    """Nanoseconds for creating and awaiting one task after another; creating alone is not timed apart."""
    started = perf_counter_ns()
    for _ in range(BATCH):
        await create()
    took = perf_counter_ns() - started
    return took, took


async def compare(
    run: Run, plain: Create, variants: list[Variant], work: Work, rounds: int
) -> list[dict[str, Any]]:
    ratios: list[list[tuple[float, float]]] = [[] for _ in variants]
    nanoseconds: list[list[float]] = [[] for _ in variants]
    for turn in range(rounds):
        for index, (_, prepare, build, _) in enumerate(variants):
            create = build(work)
            if turn % 2:
                with prepare():
                    ours = await run(create)
                base = await run(plain)
            else:
                base = await run(plain)
                with prepare():
                    ours = await run(create)
            ratios[index].append((ours[0] / base[0], ours[1] / base[1]))
            nanoseconds[index].append(ours[1] / BATCH)
    return [
        {
            "variant": label,
            "ratio": round(statistics.median(r[1] for r in ratios[index]), 3),
            "ratio_create_only": round(statistics.median(r[0] for r in ratios[index]), 3),
            "nanoseconds": round(statistics.median(nanoseconds[index])),
            "aim": aim,
        }
        for index, (label, _, _, aim) in enumerate(variants)
    ]


async def measure(rounds: int) -> dict[str, list[dict[str, Any]]]:
    gc.collect()
    gc.disable()  # nothing here makes cycles, and a collection would hit one batch and spare the next
    plain = lambda: asyncio.create_task(nothing())  # noqa: E731
    waiting = lambda: asyncio.create_task(one_turn())  # noqa: E731
    eager = lambda: asyncio.create_task(nothing(), eager_start=True)  # noqa: E731
    return {
        "created and awaited one by one": await compare(one_by_one, plain, VARIANTS, nothing, rounds),
        "one by one, waiting one turn": await compare(one_by_one, waiting, VARIANTS, one_turn, rounds),
        "500 at a time": await compare(batch, plain, VARIANTS, nothing, rounds),
        "500 at a time, waiting one turn": await compare(batch, waiting, VARIANTS, one_turn, rounds),
        "500 at a time, eager start": await compare(batch, eager, EAGER, nothing, rounds),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=100, help="batches per variant")
    arguments = parser.parse_args()
    results = asyncio.run(measure(arguments.rounds))
    rows = [row for table in results.values() for row in table]
    missed = [row for row in rows if row["aim"] is not None and row["ratio"] > row["aim"]]
    if arguments.json:
        print(json.dumps(results, indent=2))
        return 1 if missed else 0
    for title, table in results.items():
        print(f"\n{title}: ratio to plain asyncio.create_task (whole life; creating alone), ns a task")
        for row in table:
            aim = f"aim {row['aim']}" if row["aim"] is not None else ""
            figures = f"{row['ratio']:6.2f} {row['ratio_create_only']:6.2f} {row['nanoseconds']:7,}"
            print(f"  {row['variant']:48} {figures} {aim}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
