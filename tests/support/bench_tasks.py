"""Tasks that benchmarks are tried with: well-behaved ones, and one for each way to be unfit."""

import threading
import time
from typing import Any

from laneway import Workflow, task

__all__ = [
    "counted",
    "flow",
    "fragile",
    "nested",
    "several",
    "slow",
    "steady",
    "thread_name",
    "times_two",
    "waits",
]

_calls = 0


@task
def steady(number: int) -> dict[str, int]:
    return {"b": number, "a": sum(range(2000))}


@task
def thread_name(number: int) -> str:
    """Gives one thing inline and another in a thread of the thread lane."""
    return threading.current_thread().name.partition("-")[0]


@task
def counted() -> int:
    """Gives something else each time."""
    global _calls
    _calls += 1
    return _calls


@task(cpu=True)
def fragile(number: int) -> int:
    """Fails in a thread of the thread lane."""
    if threading.current_thread().name.startswith("laneway-thread"):
        raise RuntimeError("not here")
    return number


@task
def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
async def waits(number: int) -> int:
    return number + 1


@task
def several(number: int) -> list[int]:
    return list(range(number))


@task(each="several")
def times_two(item: int) -> int:
    return item * 2


@task(dependencies=["times_two"])
def nested(context: dict[str, Any]) -> None:
    context["seen"] = sorted(context)


flow = Workflow("bench-tasks", [steady, several, times_two, nested])
