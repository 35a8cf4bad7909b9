"""Tasks whose work is written in the context, so that one module serves any generated workflow on any lane."""

from typing import Any

from laneway import task

__all__ = ["OPERATIONS"]


def _work(name: str, context: dict[str, Any]) -> dict[str, Any] | None:
    program = context["program"].get(name, {})
    for key in program.get("remove", []):
        context.pop(key, None)
    for key, value in program.get("set", {}).items():
        context[key] = value
    for key in program.get("count", []):
        seen = context.get(key, 0)
        context[key] = (seen if isinstance(seen, int) else 0) + 1
    if program.get("fail"):
        raise ValueError(f"{name} was told to fail")
    return None


@task
def op0(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op0", context)


@task
def op1(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op1", context)


@task
def op2(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op2", context)


@task
def op3(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op3", context)


@task
def op4(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op4", context)


@task
async def co0(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op0", context)


@task
async def co1(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op1", context)


@task
async def co2(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op2", context)


@task
async def co3(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op3", context)


@task
async def co4(context: dict[str, Any]) -> dict[str, Any] | None:
    return _work("op4", context)


OPERATIONS = {
    "plain": (op0, op1, op2, op3, op4),
    "coroutine": (co0, co1, co2, co3, co4),
}
"""The same five operations as plain functions and as coroutines."""
