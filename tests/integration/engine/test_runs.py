"""Whole runs through the public names, on every store that needs no server."""

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

import laneway
from laneway import ContextConflict, Engine, KeyReused, RunFailed, Workflow, WorkflowInvalid, task
from laneway._core.errors import JsonInvalid


@task
def words(text: str) -> list[str]:
    return text.split()


@task
async def longest(words: list[str]) -> str:
    return max(words, key=len)


@task(id="b", dependencies=["longest"])
async def second(context: MutableMapping[str, Any]) -> None:
    context["shouted"] = context["longest"].upper()
    context["inner"]["count"] += 1
    del context["gone"]


@task(id="c", dependencies=["b"])
def third(context: MutableMapping[str, Any]) -> dict[str, Any]:
    return {"last": context["shouted"][-1], "shouted": context["shouted"]}


START = {"text": "to be or not to bee", "inner": {"count": 1}, "gone": True}


async def test_both_styles_sync_and_async_give_one_context(engine: Engine) -> None:
    result = await engine.run(Workflow("styles", [words, longest, second, third]), START)
    assert result.status == "succeeded"
    assert result.context == {
        "text": "to be or not to bee",
        "inner": {"count": 2},
        "words": ["to", "be", "or", "not", "to", "bee"],
        "longest": "not",
        "shouted": "NOT",
        "last": "T",
    }


async def test_steps_carry_lane_status_and_attempts_with_times(engine: Engine) -> None:
    result = await engine.run(Workflow("steps", [words, longest]), {"text": "a bb"})
    assert [(step.task, step.key, step.status, step.lane) for step in result.steps] == [
        ("words", None, "succeeded", "thread"),
        ("longest", None, "succeeded", "loop"),
    ]
    attempt = result.steps[0].attempts[0]
    assert attempt.number == 1
    assert attempt.started <= attempt.ended


def test_a_decorated_function_stays_an_ordinary_function() -> None:
    assert words("a b") == ["a", "b"]


def test_the_synchronous_front_door_gives_the_same_result() -> None:
    result = laneway.run(Workflow("front", [words, longest]), {"text": "one three"})
    assert result.context["longest"] == "three"


def test_the_front_door_takes_what_goes_with_a_run(tmp_path: Path) -> None:
    flow, store = Workflow("front", [words]), f"sqlite:///{tmp_path}/store.db"
    given = laneway.run(
        flow, {"text": "x"}, store=store, priority=3, tags={"team": "a"}, deadline=60, workers=1
    )

    async def found() -> dict[str, object]:
        async with Engine(store) as engine:
            return (await engine.find(tags={"team": "a"}))[0]

    row = asyncio.run(found())
    assert (row["id"], row["priority"]) == (given.id, 3)
    assert row["deadline"] is not None


async def test_the_synchronous_front_door_works_inside_a_running_loop() -> None:
    assert laneway.run(Workflow("front", [words]), {"text": "x"}).context["words"] == ["x"]


async def test_all_mistakes_are_named_before_the_first_step_starts(engine: Engine) -> None:
    started: list[str] = []

    @task
    async def one(textt: str) -> None:
        started.append("one")

    @task(id="two", dependencies=["onne"])
    async def two() -> None:
        started.append("two")

    @task(id="two", dependencies=["four"])
    async def three() -> None: ...

    @task(id="four", dependencies=["two"], lane="loopp")
    async def four() -> None: ...

    with pytest.raises(WorkflowInvalid) as caught:
        await engine.run(Workflow("broken", [one, two, three, four]), {"text": "x"})
    text = str(caught.value)
    assert "depends on 'onne'" in text
    assert "did you mean 'one'" in text
    assert "two tasks have the id 'two'" in text
    assert "'loopp'" in text
    assert started == []


async def test_a_cycle_is_shown_as_a_path(engine: Engine) -> None:
    @task(dependencies=["b"])
    async def a() -> None: ...

    @task(id="b", dependencies=["c"])
    async def b() -> None: ...

    @task(id="c", dependencies=["a"])
    async def c() -> None: ...

    with pytest.raises(WorkflowInvalid, match=r"(a -> c -> b -> a|a -> b -> c -> a)"):
        await engine.run(Workflow("circle", [a, b, c]), {})


async def test_a_parameter_that_nothing_provides_is_named_with_the_nearest_key(engine: Engine) -> None:
    with pytest.raises(WorkflowInvalid, match=r"needs 'text'.*did you mean 'texts'"):
        await engine.run(Workflow("missing", [words]), {"texts": "x"})


async def test_unordered_tasks_that_set_one_key_differently_conflict(engine: Engine) -> None:
    @task
    async def left(context: dict[str, Any]) -> dict[str, Any]:
        return {"k": 1}

    @task
    async def right(context: dict[str, Any]) -> dict[str, Any]:
        return {"k": 1.0}

    @task(dependencies=["left", "right"])
    async def join(context: dict[str, Any]) -> None: ...

    result = await engine.run(Workflow("conflict", [left, right, join]), {}, check=False)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["type"] == ContextConflict.__name__
    assert all(part in result.error["message"] for part in ("'left'", "'right'", "'k'"))
    merged = await engine.run(Workflow("merged", [left, right, join], merge={"k": "sum"}), {})
    assert merged.context["k"] == 2.0


async def test_a_key_that_comes_back_unchanged_is_no_change(engine: Engine) -> None:
    @task
    async def left(context: dict[str, Any]) -> dict[str, Any]:
        return {**context, "a": 1}

    @task
    async def right(context: dict[str, Any]) -> dict[str, Any]:
        return {**context, "n": 5}

    @task(dependencies=["left", "right"])
    async def join(context: dict[str, Any]) -> dict[str, Any]:
        return {"seen": sorted(context)}

    result = await engine.run(Workflow("unchanged", [left, right, join]), {"n": 1})
    assert result.context == {"n": 5, "a": 1, "seen": ["a", "n"]}


async def test_a_step_cannot_change_what_another_one_sees(engine: Engine) -> None:
    @task
    async def source() -> list[int]:
        return [1]

    @task
    async def spoiler(source: list[int]) -> int:
        source.append(99)
        return len(source)

    @task(dependencies=["spoiler"])
    async def reader(source: list[int]) -> list[int]:
        return source

    result = await engine.run(Workflow("spoiled", [source, spoiler, reader]), {})
    assert result.context["reader"] == [1]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"rows": [1, 2, 3, {"when": {1, 2}}]}, "rows[3].when"),
        ({"x": float("nan")}, "x"),
        ({"x": b"1"}, "x"),
        ({"x": (1, 2)}, "x"),
        ({"x": {1: 2}}, "x"),
        ({"x": "\ud800"}, "x"),
    ],
)
async def test_what_json_cannot_hold_is_refused_with_its_path(engine: Engine, value: Any, path: str) -> None:
    with pytest.raises(JsonInvalid) as caught:
        await engine.run(Workflow("edge", [words]), {"text": "x", **value})
    assert path in str(caught.value)

    @task
    async def result_of() -> Any:
        return value

    result = await engine.run(Workflow("edge", [result_of]), {}, check=False)
    assert result.error is not None
    assert result.error["task"] == "result_of"
    assert path in result.error["message"]


async def test_a_failed_run_shows_task_message_and_traceback(engine: Engine) -> None:
    @task
    async def divide(n: int) -> float:
        return 1 / n

    with pytest.raises(RunFailed) as caught:
        await engine.run(Workflow("fails", [divide]), {"n": 0})
    assert "divide" in str(caught.value)
    assert "return 1 / n" in str(caught.value)
    assert caught.value.result.error["kind"] == "other"


async def test_what_comes_after_a_failure_is_skipped_unless_when_says_otherwise(engine: Engine) -> None:
    @task
    async def bad() -> None:
        raise ValueError("no")

    @task(dependencies=["bad"])
    async def after() -> None: ...

    @task(dependencies=["after"], when="all_done")
    async def cleanup() -> str:
        return "done"

    @task(dependencies=["bad"], when="any_failed")
    async def alarm() -> str:
        return "rung"

    result = await engine.run(Workflow("rules", [bad, after, cleanup, alarm]), {}, check=False)
    assert {step.task: step.status for step in result.steps} == {
        "bad": "failed",
        "after": "skipped",
        "cleanup": "succeeded",
        "alarm": "succeeded",
    }
    assert result.status == "failed"
    assert next(step for step in result.steps if step.task == "after").error["type"] == "upstream_failed"  # type: ignore[index]


async def test_a_predicate_skips_a_task_by_the_context(engine: Engine) -> None:
    @task(when=lambda score: score > 3)
    async def praise(name: str) -> str:
        return f"well done, {name}"

    flow = Workflow("predicate", [praise])
    low = await engine.run(flow, {"name": "Ada", "score": 1})
    high = await engine.run(flow, {"name": "Ada", "score": 4})
    assert "praise" not in low.context
    assert low.steps[0].status == "skipped"
    assert high.context["praise"] == "well done, Ada"


async def test_a_failed_attempt_is_tried_again_and_both_are_recorded(engine: Engine) -> None:
    tries: list[int] = []

    @task(retries=2)
    async def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(f"try {len(tries)}")
        return len(tries)

    result = await engine.run(Workflow("flaky", [flaky]), {})
    assert result.context["flaky"] == 3
    attempts = result.steps[0].attempts
    assert [(one.number, one.status) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert attempts[0].error is not None
    assert attempts[0].error["message"] == "try 1"


async def test_the_same_key_gives_the_same_run(engine: Engine) -> None:
    flow = Workflow("keyed", [words])
    first = await engine.run(flow, {"text": "a"}, key="order-42")
    again = await engine.run(flow, {"text": "b"}, key="order-42")
    assert again.id == first.id
    assert again.context["words"] == ["a"]
    with pytest.raises(KeyReused, match="order-42"):
        await engine.run(Workflow("other", [words]), {"text": "a"}, key="order-42")


async def test_two_starts_with_one_key_run_once(engine: Engine) -> None:
    calls: list[int] = []

    @task
    async def once() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        return len(calls)

    flow = Workflow("once", [once])
    results = await asyncio.gather(*(engine.run(flow, {}, key="k") for _ in range(20)))
    assert {one.id for one in results} == {results[0].id}
    assert calls == [1]


async def test_cancelling_stops_the_running_step_and_says_so(engine: Engine) -> None:
    started = asyncio.Event()
    seen: list[str] = []

    @task
    async def waits() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @task(dependencies=["waits"])
    async def never() -> None: ...

    handle = await engine.start(Workflow("cancel", [waits, never]), {})
    await started.wait()
    await handle.cancel()
    result = await handle.result(check=False)
    assert result.status == "cancelled"
    assert seen == ["cancelled"]
    assert {step.task: step.status for step in result.steps} == {"waits": "cancelled", "never": "cancelled"}
    assert (await engine.result(handle.id)).status == "cancelled"


async def test_events_tell_the_whole_story_in_order(engine: Engine) -> None:
    handle = await engine.start(Workflow("events", [words, longest]), {"text": "a b"})
    kinds = [event.kind async for event in handle.events()]
    assert kinds == ["run_submitted", "step_succeeded", "step_succeeded", "run_succeeded"]


async def test_an_engine_that_closes_leaves_the_run_to_be_resumed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/laneway.db"
    blocked = asyncio.Event()
    done: list[str] = []

    @task
    async def first() -> str:
        done.append("first")
        return "kept"

    @task
    async def slow(first: str) -> str:
        if not blocked.is_set():
            blocked.set()
            await asyncio.Event().wait()
        done.append("slow")
        return first + "!"

    flow = Workflow("closing", [first, slow])
    async with Engine(store, grace=0) as engine:
        handle = await engine.start(flow, {})
        await blocked.wait()
    async with Engine(store) as engine:
        resumed = await engine.resume(handle.id, flow)
        result = await resumed.result()
    assert result.context["slow"] == "kept!"
    assert result.kept == 1
    assert done == ["first", "slow"]


async def test_exit_durability_writes_the_run_at_its_end(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(store, durability="exit") as engine:
        result = await engine.run(Workflow("exit", [words, longest]), {"text": "a b"})
        kinds = [event.kind for event in await engine.events(run=result.id)]
        assert kinds == ["run_submitted", "step_succeeded", "step_succeeded", "run_succeeded"]
        assert (await engine.result(result.id)).context == result.context


async def test_a_deep_chain_needs_no_deep_stack(engine: Engine) -> None:
    def link(number: int) -> Any:
        @task(id=f"t{number}", dependencies=[f"t{number - 1}"] if number else [])
        async def step(context: dict[str, Any]) -> dict[str, Any]:
            return {"n": context.get("n", 0) + 1}

        return step

    result = await engine.run(Workflow("deep", [link(number) for number in range(600)]), {})
    assert result.context["n"] == 600


async def test_errors_are_read_as_attributes_and_as_json(engine: Engine) -> None:
    @task(retries=1)
    async def fails() -> None:
        raise TypeError("no")

    result = await engine.run(Workflow("fails", [fails]), {}, check=False)
    assert result.error is not None
    assert (result.error.task, result.error.kind, result.error["message"]) == ("fails", "type_error", "no")
    first = result.steps[0].attempts[0].error
    assert first is not None
    assert first.kind == "type_error"
    assert json.loads(json.dumps(result.as_json()))["steps"][0]["error"]["type"] == "TypeError"


def test_the_front_door_adds_nothing_to_a_failure() -> None:
    @task
    async def fails() -> None:
        raise ValueError("no")

    result = laneway.run(Workflow("fails", [fails]), {}, check=False)
    assert result.error is not None
    assert "During handling" not in result.error.traceback
