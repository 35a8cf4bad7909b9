"""The workload of the kill campaign: every step leaves a line in a side file when it runs."""

import asyncio
import os
import time
from typing import Any

from laneway import Workflow, defer, sleep_until, subworkflow, task, wait_for_signal

__all__ = ["FLOWS", "plan_of_runs"]


def leave(log: str, name: str, task_id: str, item: object = "") -> None:
    """Append one line; whole, however many processes write."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{name} {task_id} {item}\n".encode())
    finally:
        os.close(file)


@task
async def first(log: str, name: str, size: int) -> list[int]:
    leave(log, name, "first")
    return list(range(size))


@task
def second(log: str, name: str, first: list[int]) -> int:
    leave(log, name, "second")
    return sum(first)


@task
async def third(log: str, name: str, second: int) -> int:
    leave(log, name, "third")
    await asyncio.sleep(0.03)
    return second + 1


@task
async def left(log: str, name: str, first: list[int]) -> int:
    leave(log, name, "left")
    return len(first)


@task
async def right(log: str, name: str, first: list[int]) -> int:
    leave(log, name, "right")
    await asyncio.sleep(0.02)
    return -len(first)


@task
async def both(log: str, name: str, left: int, right: int) -> int:
    leave(log, name, "both")
    return left + right


@task(each="first")
async def squared(log: str, name: str, item: int) -> int:
    leave(log, name, "squared", item)
    await asyncio.sleep(0.01 * item)
    return item * item


@task
async def total(log: str, name: str, squared: list[int]) -> int:
    leave(log, name, "total")
    return sum(squared)


@task(retries=3)
async def shaky(log: str, name: str, first: list[int]) -> int:
    leave(log, name, "shaky")
    with open(log, "rb") as file:
        tries = file.read().count(f"{name} shaky ".encode())
    if tries < 2:
        raise ConnectionError(f"try {tries}")
    return len(first)


@task(dependencies=["shaky"])
async def noted(context: Any) -> None:
    leave(context["log"], context["name"], "noted")
    context["noted"] = context["shaky"] * 2
    del context["size"]


@task
async def nap(log: str, name: str, first: list[int]) -> Any:
    leave(log, name, "nap")
    return sleep_until(time.time() + 0.05, len(first))


@task
async def looked(log: str, name: str, nap: int) -> Any:
    leave(log, name, "looked")
    with open(log, "rb") as file:
        looks = file.read().count(f"{name} looked ".encode())
    return defer(0.02) if looks < 3 else nap + 1


@task
async def answered(looked: int) -> Any:
    return wait_for_signal("answer")


@task
async def closed(log: str, name: str, answered: Any, looked: int) -> Any:
    leave(log, name, "closed")
    return [answered, looked]


FLOWS = {
    "chain": Workflow("chain", [first, second, third]),
    "diamond": Workflow("diamond", [first, left, right, both]),
    "mapped": Workflow("mapped", [first, squared, total]),
    "retried": Workflow("retried", [first, shaky, noted]),
    "suspended": Workflow("suspended", [first, nap, looked, answered, closed]),
}
INNER = subworkflow(
    FLOWS["chain"],
    id="inner",
    inputs={"log": "log", "name": "inner_name", "size": "size"},
    output="third",
    dependencies=[first],
)
FLOWS["nested"] = Workflow("nested", [first, INNER])


def plan_of_runs(rounds: int) -> list[tuple[str, str, int]]:
    """(key, workflow, size) of every run of the workload."""
    return [
        (f"{name}-{number}", name, 12 if name == "mapped" else 3)
        for number in range(rounds)
        for name in FLOWS
    ]
