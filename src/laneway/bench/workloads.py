"""Workloads that are there without anybody's package. Workers import this: standard library only."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from laneway.authoring import Workflow, task

__all__ = ["WORKLOADS", "Workload"]

_CHUNKS = 16
_CHUNK = 4_000


@task(cpu=True, each="chunks")
def primes(item: list[int]) -> int:
    """Count the primes of one chunk of numbers by trial division: pure Python that only computes."""
    count = 0
    for number in range(max(item[0], 2), item[1]):
        divisor = 2
        while divisor * divisor <= number:
            if number % divisor == 0:
                break
            divisor += 1
        else:
            count += 1
    return count


@task(cpu=True)
def tiny(number: int) -> int:
    """Add one: what is measured is handing it over."""
    return number + 1


@task(cpu=True, each="documents")
def records(item: list[dict[str, Any]]) -> dict[str, Any]:
    """Group and sum some thousand records: dictionaries and lists, and input as large as the work."""
    totals: dict[str, float] = {}
    for one in item:
        totals[one["group"]] = totals.get(one["group"], 0.0) + one["amount"]
    return {"groups": len(totals), "total": sum(totals[name] for name in sorted(totals))}


@task
def sleep(seconds: float) -> float:
    """Wait as a blocking call does."""
    time.sleep(seconds)
    return seconds


@task
async def coroutine(seconds: float) -> float:
    """Wait as a coroutine does."""
    await asyncio.sleep(seconds)
    return seconds


class Workload(NamedTuple):
    """A workflow with its context."""

    workflow: Workflow
    attribute: str
    context: Callable[[], dict[str, Any]]
    about: str


primes_flow = Workflow("primes", [primes])
tiny_flow = Workflow("tiny", [tiny])
records_flow = Workflow("records", [records])
sleep_flow = Workflow("sleep", [sleep])
coroutine_flow = Workflow("coroutine", [coroutine])


def _documents() -> list[list[dict[str, Any]]]:
    return [
        [
            {"id": row, "group": f"g{row * 7 % 97}", "amount": (row * 31 + part) % 1000 / 8}
            for row in range(2000)
        ]
        for part in range(4)
    ]


WORKLOADS = {
    "primes": Workload(
        primes_flow,
        "primes_flow",
        lambda: {"chunks": [[one * _CHUNK, (one + 1) * _CHUNK] for one in range(_CHUNKS)]},
        "counts primes in 16 chunks: pure Python that only computes",
    ),
    "tiny": Workload(
        tiny_flow, "tiny_flow", lambda: {"number": 1}, "adds one: what handing a call over costs"
    ),
    "records": Workload(
        records_flow,
        "records_flow",
        lambda: {"documents": _documents()},
        "groups records: input as large as the work",
    ),
    "sleep": Workload(sleep_flow, "sleep_flow", lambda: {"seconds": 0.01}, "waits 10 ms in a blocking call"),
    "coroutine": Workload(
        coroutine_flow, "coroutine_flow", lambda: {"seconds": 0.01}, "waits 10 ms as a coroutine does"
    ),
}
"""By name. `primes` is what `laneway bench lanes` measures by itself."""
