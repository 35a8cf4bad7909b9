"""Retrying, forking, pausing, deadlines, tags, priorities, changed code: what a program can do with runs."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from laneway import Engine, RunFailed, Workflow, task
from laneway._core.errors import SettingInvalid
from laneway.engine.refusals import RunBusy, RunChanged


class Calls:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.broken = True


def flow_of(calls: Calls) -> Workflow:
    @task
    async def first(n: int) -> int:
        calls.seen.append("first")
        return n + 1

    @task
    async def second(first: int) -> int:
        calls.seen.append("second")
        if calls.broken:
            raise ConnectionError("not yet")
        return first * 10

    @task
    async def third(second: int) -> int:
        calls.seen.append("third")
        return second + 1

    @task
    async def beside(n: int) -> str:
        calls.seen.append("beside")
        return f"n={n}"

    @task(each="items")
    async def each(item: int) -> int:
        calls.seen.append(f"each {item}")
        if calls.broken and item == 2:
            raise ValueError("item")
        return item

    return Workflow("over", [first, second, third, beside, each])


async def test_retry_runs_what_failed_and_what_comes_after_it(engine: Engine) -> None:
    calls = Calls()
    flow = flow_of(calls)
    with pytest.raises(RunFailed) as caught:
        await engine.run(flow, {"n": 1, "items": [1, 2, 3]})
    run = caught.value.result.id
    calls.seen.clear()
    calls.broken = False
    result = await (await engine.retry(run, flow)).result()
    assert sorted(calls.seen) == ["each 2", "second", "third"]
    assert result.status == "succeeded"
    assert result.context == {
        "n": 1,
        "items": [1, 2, 3],
        "first": 2,
        "second": 20,
        "third": 21,
        "beside": "n=1",
        "each": [1, 2, 3],
    }
    assert (await engine.result(run)).context == result.context
    kinds = [one.kind for one in await engine.events(run=run)]
    assert kinds.count("run_retried") == 1
    assert kinds.index("run_failed") < kinds.index("run_retried") < kinds.index("run_succeeded")


async def test_retry_of_all_with_a_changed_context_keeps_nothing(engine: Engine) -> None:
    calls = Calls()
    calls.broken = False
    flow = flow_of(calls)
    run = (await engine.run(flow, {"n": 1, "items": []})).id
    calls.seen.clear()
    result = await (await engine.retry(run, flow, only="all", context={"n": 5})).result()
    assert sorted(calls.seen) == ["beside", "first", "second", "third"]
    assert (result.id, result.context["third"], result.context["items"]) == (run, 61, [])
    with pytest.raises(SettingInvalid, match="only"):
        await engine.retry(run, flow, only="some")  # type: ignore[arg-type]  # what callers without types do


async def test_fork_is_a_new_run_from_a_step_on(engine: Engine) -> None:
    calls = Calls()
    flow = flow_of(calls)
    with pytest.raises(RunFailed) as caught:
        await engine.run(flow, {"n": 1, "items": [1, 2]})
    source = caught.value.result
    calls.seen.clear()
    calls.broken = False
    handle = await engine.fork(source.id, flow, from_step="second", context={"n": 7})
    result = await handle.result()
    assert sorted(calls.seen) == ["each 1", "each 2", "second", "third"]
    assert (result.context["first"], result.context["third"], result.context["beside"]) == (2, 21, "n=1")
    assert (await engine.result(source.id)).status == "failed", "the source stays as it is"
    assert [one["origin"] for one in await engine.find()] == [source.id, None]
    with pytest.raises(SettingInvalid, match="It has first, second"):
        await engine.fork(source.id, flow, from_step="scond")


async def test_fork_with_a_known_key_gives_the_run_that_has_it(engine: Engine) -> None:
    calls = Calls()
    calls.broken = False
    flow = flow_of(calls)
    source = await engine.run(flow, {"n": 1, "items": []})
    first = await engine.fork(source.id, flow, from_step="second", key="once")
    await first.result()
    calls.seen.clear()
    again = await engine.fork(source.id, flow, from_step="second", key="once")
    assert (again.id, again.is_new) == (first.id, False)
    assert (await again.result()).status == "succeeded"
    assert calls.seen == [], "nothing ran again"


async def test_a_run_that_is_driven_is_not_done_over(engine: Engine) -> None:
    gate = asyncio.Event()

    @task
    async def waits() -> None:
        await gate.wait()

    flow = Workflow("waits", [waits])
    handle = await engine.start(flow)
    with pytest.raises(RunBusy, match="driven by an engine that lives"):
        await engine.retry(handle.id, flow)
    gate.set()
    await handle.result()


async def test_pause_lets_running_steps_finish_and_resume_goes_on(engine: Engine) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    @task
    async def one() -> int:
        started.set()
        await gate.wait()
        return 1

    @task
    async def two(one: int) -> int:
        return one + 1

    flow = Workflow("paused", [one, two])
    handle = await engine.start(flow)
    await started.wait()
    pausing = asyncio.ensure_future(handle.pause())
    await asyncio.sleep(0)
    gate.set()
    await pausing
    result = await handle.result()
    assert (result.status, [step.task for step in result.steps]) == ("paused", ["one"])
    again = await engine.resume(handle.id, flow)
    assert again.kept == 1
    assert (await again.result()).context == {"one": 1, "two": 2}


async def test_a_deadline_stops_the_run_and_says_so(engine: Engine) -> None:
    stopped = asyncio.Event()

    @task
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    flow = Workflow("endless", [endless])
    with pytest.raises(RunFailed, match="deadline passed") as caught:
        await engine.run(flow, deadline=0.05)
    assert caught.value.result.error["kind"] == "timeout"
    assert stopped.is_set()
    assert (await engine.result(caught.value.result.id)).status == "failed"
    with pytest.raises(RunFailed, match="deadline passed"):
        await engine.run(flow, deadline=datetime.now(UTC) + timedelta(milliseconds=20))
    with pytest.raises(SettingInvalid, match="time zone"):
        await engine.run(flow, deadline=datetime(2030, 1, 1))


async def test_runs_are_found_by_their_tags(engine: Engine) -> None:
    calls = Calls()
    calls.broken = False
    flow = flow_of(calls)
    for team in ("red", "blue", "red"):
        await engine.run(flow, {"n": 1, "items": []}, tags={"team": team, "env": "test"})
    assert len(await engine.find(tags={"team": "red"})) == 2
    assert len(await engine.find(tags={"team": "blue", "env": "test"})) == 1
    assert await engine.find(tags={"team": "green"}) == []


async def test_what_is_found_shows_what_a_run_began_and_ended_with(engine: Engine) -> None:
    @task
    async def halved(n: int) -> float:
        if n % 2:
            raise ValueError("odd")
        return n / 2

    flow = Workflow("halves", [halved])
    await engine.run(flow, {"n": 4})
    await engine.run(flow, {"n": 3}, check=False)
    failed, succeeded = await engine.find()
    assert (succeeded["context"], succeeded["final"]) == ({"n": 4}, {"n": 4, "halved": 2.0})
    assert succeeded["error"] is None
    assert failed["context"] == {"n": 3}
    assert (failed["error"]["task"], failed["error"]["message"]) == ("halved", "odd")


async def test_a_run_does_not_go_on_with_changed_code_unless_it_is_told_to(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    reached = asyncio.Event()

    def old() -> Workflow:
        @task
        async def keeps() -> int:
            return 1

        @task
        async def waits(keeps: int) -> int:
            reached.set()
            await asyncio.Event().wait()
            return keeps

        return Workflow("deployed", [keeps, waits])

    def new() -> Workflow:
        @task
        async def keeps() -> int:
            return 1000

        @task
        async def waits(keeps: int) -> int:
            return keeps + 1

        return Workflow("deployed", [keeps, waits])

    async with Engine(store, grace=0) as engine:
        handle = await engine.start(old(), key="k")
        await reached.wait()
    async with Engine(store) as engine:
        with pytest.raises(RunChanged, match="task 'waits' changed") as caught:
            await engine.resume(handle.id, new())
        assert "--force" in str(caught.value)
        assert caught.value.fields["tasks"] == ["waits"]
        with pytest.raises(RunChanged):
            await engine.run(new(), key="k")
        result = await (await engine.resume(handle.id, new(), force=True)).result()
        assert result.context == {"keeps": 1, "waits": 2}, (
            "what was finished is kept, whatever became of its code"
        )


async def test_an_engine_that_finds_only_changed_code_lays_the_run_aside_and_says_why(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    reached = asyncio.Event()

    def version(changed: bool) -> Workflow:
        if changed:

            @task
            async def step() -> str:
                return "new"
        else:

            @task
            async def step() -> str:
                reached.set()
                await asyncio.Event().wait()
                return "old"

        return Workflow("w", [step])

    async with Engine(store, grace=0) as engine:
        handle = await engine.start(version(False))
        await reached.wait()
    async with Engine(store, workflows=[version(True)]) as engine:
        aside = asyncio.Event()
        engine.listen(lambda rows: aside.set() if any(row.kind == "run_paused" for row in rows) else None)
        if (await engine.result(handle.id)).status != "paused":
            await asyncio.wait_for(aside.wait(), 20)
        event = (await engine.events(run=handle.id))[-1]
        assert "task 'step' changed" in event.data["reason"]
        assert (await (await engine.resume(handle.id, force=True)).result()).context == {"step": "new"}


async def test_old_runs_are_swept_with_all_they_had(engine: Engine) -> None:
    calls = Calls()
    calls.broken = False
    flow = flow_of(calls)
    for _ in range(5):
        await engine.run(flow, {"n": 1, "items": [1]})
    assert (await engine.sweep(timedelta(days=30)))["runs"] == 0
    swept = await engine.sweep(0)
    assert swept["runs"] == 5
    assert swept["steps"] == 30
    assert await engine.find() == []
    assert await engine.events() == []
