"""Workflows as tasks: runs of their own, linked to the one that needs them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, RunFailed, Workflow, subworkflow, task, wait_for_signal


@task
async def words(text: str) -> list[str]:
    return text.split()


@task
async def longest(words: list[str]) -> str:
    return max(words, key=len)


INNER = Workflow("longest-word", [words, longest])


@task
async def text() -> str:
    return "to be or not"


async def test_an_inner_workflow_runs_as_a_run_of_its_own(engine: Engine) -> None:
    @task
    async def shout(word: str) -> str:
        return word.upper()

    outer = Workflow(
        "outer",
        [
            text,
            subworkflow(INNER, id="word", inputs={"text": "text"}, output="longest"),
            shout,
        ],
    )
    result = await engine.run(outer)
    assert result.context == {"text": "to be or not", "word": "not", "shout": "NOT"}
    inner, above = await engine.find()
    assert (inner["workflow"], inner["parent"], inner["parent_task"]) == ("longest-word", above["id"], "word")
    assert [one["id"] for one in await engine.find(parent=above["id"])] == [inner["id"]]


async def test_without_inputs_the_inner_run_sees_what_the_task_sees_and_gives_its_whole_context(
    engine: Engine,
) -> None:
    result = await engine.run(Workflow("outer", [text, subworkflow(INNER, dependencies=[text])]), {"n": 1})
    assert result.context["longest-word"] == {
        "n": 1,
        "text": "to be or not",
        "words": ["to", "be", "or", "not"],
        "longest": "not",
    }


async def test_mapped_inner_workflows_keep_the_order_of_their_items(engine: Engine) -> None:
    inner = subworkflow(INNER, id="each", inputs={"text": "item"}, output="longest", each="texts")
    result = await engine.run(Workflow("outer", [inner]), {"texts": ["a bb", "ccc d", "e"]})
    assert result.context["each"] == ["bb", "ccc", "e"]
    assert len(await engine.find(workflow="longest-word")) == 3


async def test_one_live_run_at_most_still_runs_inner_ones(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/s.db", max_runs=1) as engine:
        flow = Workflow("outer", [text, subworkflow(INNER, id="x", dependencies=[text])])
        results = await asyncio.gather(*[engine.run(flow) for _ in range(5)])
        assert [one.status for one in results] == ["succeeded"] * 5


async def test_a_failure_inside_is_told_with_run_task_and_traceback_and_a_retry_goes_on_there(
    engine: Engine,
) -> None:
    broken = True
    seen: list[str] = []

    @task
    async def good() -> int:
        seen.append("good")
        return 1

    @task
    async def bad(good: int) -> int:
        seen.append("bad")
        if broken:
            raise LookupError("no such thing")
        return good + 1

    outer = Workflow("outer", [subworkflow(Workflow("inner", [good, bad]), output="bad")])
    with pytest.raises(
        RunFailed, match=r"inner run .* of 'inner' failed at task 'bad': no such thing"
    ) as caught:
        await engine.run(outer)
    assert "LookupError" in caught.value.result.error["traceback"]
    broken = False
    result = await (await engine.retry(caught.value.result.id, outer)).result()
    assert result.context == {"inner": 2}
    assert seen == ["good", "bad", "bad"]
    assert len(await engine.find(workflow="inner")) == 1


async def test_cancelling_the_outer_run_cancels_the_inner_one(engine: Engine) -> None:
    started = asyncio.Event()

    @task
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    handle = await engine.start(Workflow("outer", [subworkflow(Workflow("inner", [endless]))]))
    await started.wait()
    await handle.cancel()
    assert {one["status"] for one in await engine.find()} == {"cancelled"}


async def test_a_time_limit_on_the_task_stops_the_inner_run(engine: Engine) -> None:
    @task
    async def endless() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RunFailed, match=r"time limit of 0\.05 s"):
        await engine.run(Workflow("outer", [subworkflow(Workflow("inner", [endless]), timeout=0.05)]))
    assert (await engine.find(workflow="inner"))[0]["status"] == "cancelled"


@task
async def approval() -> Any:
    return wait_for_signal("ok")


ASKING = Workflow("asking", [approval])
OUTER = Workflow("outer", [subworkflow(ASKING, output="approval")])


async def kinds(engine: Engine, run: str) -> AsyncIterator[str]:
    async for event in (await engine.resume(run, OUTER)).events():
        yield event.kind


async def test_a_suspended_inner_run_suspends_the_outer_one_until_it_is_signalled(engine: Engine) -> None:
    handle = await engine.start(OUTER)
    assert (await handle.result()).status == "suspended"
    (inner,) = await engine.find(workflow="asking")
    assert inner["status"] == "suspended"
    over = asyncio.Event()
    engine.listen(
        lambda rows: (
            over.set()
            if any(
                row.kind == "run_succeeded" and row.run.hex() == handle.id.replace("-", "") for row in rows
            )
            else None
        )
    )
    await engine.signal(inner["id"], "ok", "granted")
    await asyncio.wait_for(over.wait(), 20)
    assert (await handle.result()).context == {"asking": "granted"}


async def test_outer_and_inner_survive_a_restart_while_both_wait(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.db"
    async with Engine(store) as engine:
        handle = await engine.start(OUTER)
        await handle.result()
        (inner,) = await engine.find(workflow="asking")
    async with Engine(store) as engine:
        await engine.signal(inner["id"], "ok", 1)
        assert (await engine.result(handle.id)).status == "suspended"
    async with Engine(store, workflows=[OUTER, ASKING]) as engine:
        over = asyncio.Event()
        engine.listen(lambda rows: over.set() if sum(row.kind == "run_succeeded" for row in rows) else None)
        while True:
            over.clear()  # before the look: what ends during it is not missed
            if (result := await engine.result(handle.id)).status == "succeeded":
                break
            await asyncio.wait_for(over.wait(), 20)
        assert result.context == {"asking": 1}


async def test_an_inner_run_is_found_again_after_the_engine_closed_in_its_middle(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.db"
    started, gate = asyncio.Event(), asyncio.Event()
    calls: list[str] = []

    @task
    async def one() -> int:
        calls.append("one")
        return 1

    @task
    async def two(one: int) -> int:
        calls.append("two")
        started.set()
        await gate.wait()
        return one + 1

    outer = Workflow("outer", [subworkflow(Workflow("inner", [one, two]), output="two")])
    async with Engine(store, grace=0) as engine:
        handle = await engine.start(outer)
        await started.wait()
    gate.set()
    async with Engine(store) as engine:
        result = await (await engine.resume(handle.id, outer)).result()
        assert result.context == {"inner": 2}
        assert calls == ["one", "two", "two"], "the inner step that was committed did not run again"
        assert len(await engine.find(workflow="inner")) == 1


def test_what_is_no_workflow_or_has_wrong_options_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a Workflow"):
        subworkflow(words)  # type: ignore[arg-type]  # what callers without types do
    with pytest.raises(ValueError, match="is not a rule"):
        subworkflow(INNER, when="always")
    with pytest.raises(TypeError, match="runs as a task of a workflow"):
        subworkflow(INNER)()
