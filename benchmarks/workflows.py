"""What the benchmarks of the engine run: a chain of three steps, and a fan-out with a join. The steps do little."""

from typing import Any

from laneway import Workflow, task

__all__ = ["CHAIN", "FAN", "START"]

START: dict[str, Any] = {"n": 0, "blob": "x" * 180}
"""What a chain starts with."""


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
