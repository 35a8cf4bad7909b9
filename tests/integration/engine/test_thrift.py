"""What the engine saves on must not be felt: garbage, and checks of what did not change."""

import gc
from collections.abc import MutableMapping
from typing import Any

import pytest

from laneway import Engine, RunFailed, Workflow, task


@task
async def first(number: int) -> int:
    return number + 1


@task
async def second(first: int) -> int:
    return first + 1


PAIR = Workflow("pair", [first, second])


async def test_runs_that_are_over_leave_nothing_to_the_garbage_collector(engine: Engine) -> None:
    runs = 60
    await engine.run(PAIR, {"number": 1})
    gc.collect()
    gc.disable()
    try:
        for _ in range(runs):
            await engine.run(PAIR, {"number": 1})
        left = gc.collect()
    finally:
        gc.enable()
    assert left < runs, "each run left objects that only the collector frees"


_KEPT = {"count": 1, "deep": [{"a": None}, 2.5]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"count": float("nan"), "deep": []}, "result.kept.count"),
        ({"count": 1, "deep": [{"a": None}, {2.5}]}, "result.kept.deep[1]"),
        ({"count": 1, "deep": ({"a": None}, 2.5)}, "result.kept.deep"),
        ({1: 1, "deep": [{"a": None}, 2.5]}, "result.kept"),
    ],
    ids=["not a number", "a set inside a list", "a tuple for an equal list", "a key that is no text"],
)
async def test_change_that_json_cannot_hold_is_named_where_it_is(
    value: Any, path: str, engine: Engine
) -> None:
    @task
    async def change(context: MutableMapping[str, Any]) -> dict[str, Any]:
        return {**context, "kept": value}

    with pytest.raises(RunFailed) as failed:
        await engine.run(Workflow("change", [change]), {"kept": _KEPT})
    assert f"{path} is" in failed.value.result.error["message"]


async def test_what_comes_back_as_it_was_is_no_change(engine: Engine) -> None:
    @task
    async def change(context: MutableMapping[str, Any]) -> dict[str, Any]:
        return {"kept": {"deep": [{"a": None}, 2.5], "count": 1}, "one": True}

    result = await engine.run(Workflow("change", [change]), {"kept": _KEPT, "one": 1})
    rows = await engine.store.read("saved", run=result.id)
    assert rows[0]["saved"].steps[0].patch == b'{"one":true}'
    assert result.context == {"kept": _KEPT, "one": True}
