"""What a program passes by mistake is refused by name, before anything is done with it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from laneway import Engine, LanewayError, Pool, Workflow, WorkflowInvalid, task
from laneway._core.errors import RunNotFound, SettingInvalid
from laneway.engine.refusals import EngineElsewhere, EngineReopened
from laneway.engine.results import RunResult


@task
async def one() -> int:
    return 1


FLOW = Workflow("flow", [one])


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (one, "Workflow('name', [one])"),
        ([one], "Workflow('name', [first, second])"),
        (None, "Pass a Workflow"),
        (lambda: 1, "Pass a Workflow"),
    ],
)
async def test_what_is_no_workflow_is_refused_with_what_to_write(
    engine: Engine, given: Any, advice: str
) -> None:
    with pytest.raises(TypeError) as caught:
        await engine.run(given)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"key": 5},
        {"key": ""},
        {"priority": "high"},
        {"priority": True},
        {"tags": {"team": 1}},
        {"tags": ["team"]},
        {"deadline": "tomorrow"},
        {"deadline": True},
    ],
    ids=str,
)
async def test_options_of_a_run_that_cannot_be_are_named(engine: Engine, options: dict[str, Any]) -> None:
    with pytest.raises(SettingInvalid) as caught:
        await engine.run(FLOW, **options)
    assert str(caught.value).startswith(f"{next(iter(options))} is ")
    assert await engine.find() == []


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"workers": 1.5},
        {"max_runs": 0},
        {"grace": -1},
        {"grace": "5"},
        {"lease": 0},
        {"workflows": [one]},
        {"pools": ["gpu"]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_an_engine_that_cannot_be_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(SettingInvalid) as caught:
        Engine("memory://", **options)
    assert str(caught.value).startswith(f"{next(iter(options))} is ")
    Engine("memory://", workers=1, max_runs=1, grace=0, lease=1, workflows=[FLOW], pools=[Pool("a", slots=1)])


async def test_a_run_is_named_by_its_id_its_handle_its_result_or_what_was_found(engine: Engine) -> None:
    handle = await engine.start(FLOW)
    result = await handle.result()
    (found,) = await engine.find()
    names: list[Any] = [handle, result, found, handle.id, handle.id.upper().replace("-", "")]
    for name in names:
        again = await engine.retry(name, only="all")
        assert again.id == handle.id
        assert (await again.result()).status == "succeeded"
        assert (await engine.result(name)).id == handle.id
        forked = await engine.fork(name, from_step="one")
        assert (await forked.result()).context == {"one": 1}
    assert handle.id in repr(handle)


@pytest.mark.parametrize("name", ["nope", "", "latest", 5, None])
async def test_what_is_no_run_is_not_found_whatever_is_asked(engine: Engine, name: Any) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: engine.resume(name),
        lambda: engine.retry(name),
        lambda: engine.fork(name, from_step="one"),
        lambda: engine.cancel(name),
        lambda: engine.pause(name),
        lambda: engine.signal(name, "go"),
        lambda: engine.result(name),
    ]
    for ask in asks:
        with pytest.raises(RunNotFound):
            await ask()


async def test_an_engine_is_opened_once(store: str) -> None:
    engine = Engine(store)
    async with engine:
        with pytest.raises(EngineReopened):
            await engine.__aenter__()
        assert (await engine.run(FLOW)).status == "succeeded"
    with pytest.raises(EngineReopened):
        await engine.__aenter__()


async def test_an_engine_of_another_event_loop_says_so_and_goes_on(engine: Engine) -> None:
    with pytest.raises(EngineElsewhere) as caught:
        await asyncio.to_thread(lambda: asyncio.run(engine.run(FLOW)))
    assert "run_coroutine_threadsafe" in str(caught.value)
    loop = asyncio.get_running_loop()
    result: RunResult = await asyncio.to_thread(
        lambda: asyncio.run_coroutine_threadsafe(engine.run(FLOW), loop).result()
    )
    assert result.context == {"one": 1}


@pytest.mark.parametrize("context", [[1], "text", {1: 2}, {"x": {1, 2}}], ids=repr)
async def test_a_context_that_cannot_be_starts_nothing(engine: Engine, context: Mapping[str, Any]) -> None:
    with pytest.raises((TypeError, LanewayError)):
        await engine.run(FLOW, context)
    assert await engine.find() == []


async def test_all_mistakes_of_a_workflow_are_told_at_once_with_what_the_context_lacks(
    engine: Engine,
) -> None:
    @task(dependencies=["nowhere"])
    async def lost() -> None: ...

    @task(lane="loop")
    def blocks() -> None: ...

    @task
    async def asks(txt: str) -> None: ...

    @task(each="rows")
    async def every(row: str) -> None: ...

    @task(when=lambda flag, other=1: flag)
    async def maybe() -> None: ...

    tasks: list[Callable[..., Any]] = [lost, blocks, asks, every, maybe]
    with pytest.raises(WorkflowInvalid) as caught:
        await engine.run(Workflow("wrong", tasks), {"text": "x"})
    first_words = [problem.split(",")[0] for problem in caught.value.problems]
    assert [one.split("'")[1] for one in first_words] == ["lost", "blocks", "asks", "every", "maybe"]
    assert "did you mean 'text'?" in str(caught.value)
    assert await engine.find() == []


async def test_a_predicate_that_asks_for_what_nobody_gives_is_refused_before_the_run(engine: Engine) -> None:
    @task(when=lambda flag, other=1: bool(flag and other))
    async def maybe() -> int:
        return 1

    flow = Workflow("maybe", [maybe])
    with pytest.raises(WorkflowInvalid) as caught:
        await engine.run(flow)
    assert "needs 'flag'" in str(caught.value)
    assert (await engine.run(flow, {"flag": True})).context == {"flag": True, "maybe": 1}
    assert (await engine.run(flow, {"flag": True, "other": 0})).context == {"flag": True, "other": 0}


class Bound:
    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: task(Bound().method), "needs a function, not method"),
        (lambda: task(dependencies=cast("Any", None)), "takes a list, not NoneType"),
        (lambda: task(dependencies=cast("Any", "load")), "dependencies=['load']"),
        (lambda: Workflow("w", cast("Any", None)), "takes a list of tasks, not NoneType"),
        (lambda: Workflow("w", cast("Any", one)), "Workflow('w', [first, second])"),
    ],
)
def test_tasks_and_workflows_that_cannot_be_say_what_to_write(write: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        write()
    assert said in str(caught.value)
