"""Mapped tasks: one step per item."""

import asyncio
import tracemalloc
from typing import Any

import pytest

from laneway import Engine, Workflow, task


@task
async def numbers(count: int) -> list[int]:
    return list(range(count))


@task(each="numbers")
async def square(number: int, offset: int = 0) -> int:
    await asyncio.sleep(0)
    return number * number + offset


@task
async def total(square: list[int]) -> int:
    return sum(square)


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
async def test_results_keep_the_order_of_the_items(engine: Engine, count: int) -> None:
    result = await engine.run(Workflow("squares", [numbers, square, total]), {"count": count, "offset": 1})
    assert result.context["square"] == [number * number + 1 for number in range(count)]
    assert result.context["total"] == sum(number * number + 1 for number in range(count))


async def test_a_list_of_the_initial_context_can_be_mapped(engine: Engine) -> None:
    @task(each="names")
    async def greet(name: str) -> str:
        return f"hello {name}"

    result = await engine.run(Workflow("greet", [greet]), {"names": ["Ada", "Grace"]})
    assert result.context["greet"] == ["hello Ada", "hello Grace"]


async def test_one_failed_item_does_not_lose_the_others(engine: Engine) -> None:
    @task(each="values")
    async def inverse(value: int) -> float:
        return 1 / value

    @task(when="all_done", dependencies=["inverse"])
    async def kept(inverse: list[Any]) -> int:
        return sum(one is not None for one in inverse)

    @task(dependencies=["inverse"])
    async def skipped() -> None: ...

    flow = Workflow("inverse", [inverse, kept, skipped])
    result = await engine.run(flow, {"values": [1, 0, 2]}, check=False)
    assert result.status == "failed"
    assert result.context["kept"] == 2
    by_key = {step.key: step for step in result.steps if step.task == "inverse" and step.key is not None}
    assert [by_key[key].status for key in (0, 1, 2)] == ["succeeded", "failed", "succeeded"]
    assert result.error is not None
    assert (result.error["task"], result.error["key"]) == ("inverse", 1)
    assert "ZeroDivisionError" in result.error["traceback"]


@pytest.mark.parametrize("value", [None, 3, "text", {"a": 1}])
async def test_mapping_over_what_is_no_list_fails_and_says_what_it_is(engine: Engine, value: Any) -> None:
    @task(each="values")
    async def never(item: int) -> int:
        return item

    result = await engine.run(Workflow("never", [never]), {"values": value}, check=False)
    assert result.error is not None
    assert result.error["kind"] == "type_error"
    assert "not a list" in result.error["message"]


async def test_items_of_context_style_tasks_are_found_under_item(engine: Engine) -> None:
    @task(each="values")
    async def doubled(context: dict[str, Any]) -> dict[str, Any]:
        return {"double": context["item"] * 2, "base": context["base"]}

    result = await engine.run(Workflow("doubled", [doubled]), {"values": [1, 2], "base": 10})
    assert result.context["doubled"] == [{"double": 2}, {"double": 4}]


async def test_a_failed_item_is_tried_again_by_itself(engine: Engine) -> None:
    seen: dict[int, int] = {}

    @task(each="values", retries=1)
    async def flaky(value: int) -> int:
        seen[value] = seen.get(value, 0) + 1
        if value == 2 and seen[value] == 1:
            raise OSError("once")
        return value

    result = await engine.run(Workflow("flaky-items", [flaky]), {"values": [1, 2, 3]})
    assert result.context["flaky"] == [1, 2, 3]
    assert seen == {1: 1, 2: 2, 3: 1}


async def test_ten_thousand_items_stay_within_bounded_memory(engine: Engine) -> None:
    flow = Workflow("squares", [numbers, square, total])
    await engine.run(flow, {"count": 10})
    tracemalloc.start()
    try:
        result = await engine.run(flow, {"count": 10_000})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.context["total"] == sum(number * number for number in range(10_000))
    assert peak / 10_000 < 3_000, f"{peak / 10_000:.0f} bytes an item"
