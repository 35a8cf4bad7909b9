"""Steps that wait for a signal, a moment or another look hold nothing and survive everything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, RunFailed, RunHandle, Workflow, defer, sleep_until, task, wait_for_signal
from laneway._core.errors import JsonInvalid


@task
async def asked() -> Any:
    return wait_for_signal("answer")


@task
async def answered(asked: Any) -> Any:
    return ["got", asked]


SIGNALLED = Workflow("signalled", [asked, answered])


@asynccontextmanager
async def engine_on(tmp_path: Path, **options: Any) -> AsyncIterator[Engine]:
    async with Engine(f"sqlite:///{tmp_path}/store.db", **options) as engine:
        yield engine


async def test_a_run_that_waits_for_a_signal_is_suspended_and_goes_on_with_its_value(engine: Engine) -> None:
    handle = await engine.start(SIGNALLED)
    result = await handle.result()
    assert result.status == "suspended"
    assert [(one.task, one.status) for one in result.steps] == [("asked", "waiting")]
    assert (await engine.find())[0]["engine"] is None, "nobody holds it"
    await handle.signal("other", 1)
    await handle.signal("answer", {"n": 1})
    result = await handle.result()
    while result.status == "suspended":  # the other signal woke it for a moment
        result = await handle.result()
    assert result.context["answered"] == ["got", {"n": 1}]
    assert [len(one.attempts) for one in result.steps] == [1, 1]


async def test_a_signal_that_came_before_the_step_counts(engine: Engine) -> None:
    gate = asyncio.Event()

    @task
    async def first() -> int:
        await gate.wait()
        return 1

    @task(dependencies=["first"])
    async def second() -> Any:
        return wait_for_signal("early")

    handle = await engine.start(Workflow("early", [first, second]))
    await handle.signal("early", "bird")
    gate.set()
    assert (await handle.result()).context["second"] == "bird"


async def test_a_signal_reaches_a_live_run_that_waits_beside_work(engine: Engine) -> None:
    gate = asyncio.Event()

    @task
    async def busy() -> str:
        await gate.wait()
        return "done"

    @task(dependencies=["asked"])
    async def opens() -> None:
        gate.set()

    handle = await engine.start(Workflow("beside", [busy, asked, opens]))
    await handle.signal("answer", None)
    result = await handle.result()
    assert (result.status, result.context["busy"], result.context["asked"]) == ("succeeded", "done", None)


async def test_a_suspended_run_survives_restarts_and_is_taken_up_by_an_engine_that_knows_it(
    tmp_path: Path,
) -> None:
    async with engine_on(tmp_path) as engine:
        handle = await engine.start(SIGNALLED)
        assert (await handle.result()).status == "suspended"
    async with engine_on(tmp_path) as engine:
        await engine.signal(handle.id, "answer", 42)
        assert (await engine.result(handle.id)).status == "suspended", "its code is not known here"
    async with engine_on(tmp_path, workflows=[SIGNALLED]) as engine:
        found = [one.kind async for one in (await engine.resume(handle.id)).events()]
        assert found[-1] == "run_succeeded"
        assert (await engine.result(handle.id)).context["answered"] == ["got", 42]


async def test_a_signal_from_another_engine_wakes_the_one_that_knows_the_workflow(tmp_path: Path) -> None:
    async with engine_on(tmp_path, workflows=[SIGNALLED]) as worker, engine_on(tmp_path) as other:
        handle = await worker.start(SIGNALLED)
        assert (await handle.result()).status == "suspended"
        over = asyncio.Event()
        worker.listen(lambda rows: over.set() if any(row.kind == "run_succeeded" for row in rows) else None)
        await other.signal(handle.id, "answer", "from afar")
        await asyncio.wait_for(over.wait(), 20)
        assert (await other.result(handle.id)).context["asked"] == "from afar"


async def test_a_signal_that_does_not_come_in_time_fails_the_step_or_gives_the_default(
    engine: Engine,
) -> None:
    @task
    async def strict() -> Any:
        return wait_for_signal("never", timeout=0.01)

    @task
    async def lenient() -> Any:
        return wait_for_signal("never", timeout=timedelta(milliseconds=10), default="nobody")

    result = await engine.run(Workflow("lenient", [lenient]))
    assert result.context["lenient"] == "nobody"
    with pytest.raises(RunFailed, match="the signal 'never' did not come in time") as caught:
        await engine.run(Workflow("strict", [strict]))
    assert caught.value.result.error["kind"] == "timeout"


async def test_sleeping_for_long_gives_the_run_back_to_the_store_until_it_is_due(engine: Engine) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=2.2)

    @task
    async def nap() -> Any:
        return sleep_until(moment, "rested")

    handle = await engine.start(Workflow("nap", [nap]))
    result = await handle.result()
    assert time.time() >= moment.timestamp()
    assert result.context["nap"] == "rested"
    kinds = [one.kind for one in await engine.events(run=handle.id)]
    assert kinds == ["run_submitted", "step_waiting", "run_suspended", "step_succeeded", "run_succeeded"]


async def test_polling_is_no_retry_and_leaves_one_attempt(engine: Engine) -> None:
    looks = 0

    @task
    async def ready() -> Any:
        nonlocal looks
        looks += 1
        return defer(0.001) if looks < 20 else looks

    result = await engine.run(Workflow("polling", [ready]))
    assert result.context["ready"] == 20
    assert [len(one.attempts) for one in result.steps] == [1]


async def test_mapped_steps_wait_each_for_itself(engine: Engine) -> None:
    @task(each="names")
    async def vote(item: str) -> Any:
        return wait_for_signal(f"vote {item}")

    handle = await engine.start(Workflow("votes", [vote]), {"names": ["ann", "bob"]})
    assert (await handle.result()).status == "suspended"
    await handle.signal("vote bob", "no")
    await handle.signal("vote ann", "yes")
    result = await handle.result()
    while result.status == "suspended":
        result = await handle.result()
    assert result.context["vote"] == ["yes", "no"]


async def test_context_style_and_plain_functions_wait_too(engine: Engine) -> None:
    @task
    def plain(context: Any) -> Any:
        return wait_for_signal("x", timeout=0, default=[1])

    assert (await engine.run(Workflow("plain", [plain]))).context["plain"] == [1]


async def test_waiting_survives_failures_before_it(engine: Engine) -> None:
    tries = 0

    @task(retries=2)
    async def shaky() -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError("first")
        return defer(0.001) if tries < 4 else "ok"

    result = await engine.run(Workflow("shaky", [shaky]))
    assert result.context["shaky"] == "ok"
    (step,) = result.steps
    assert [one.status for one in step.attempts] == ["failed", "succeeded"]


async def test_what_json_cannot_hold_is_no_signal(engine: Engine) -> None:
    handle = await engine.start(SIGNALLED)
    await handle.result()
    with pytest.raises(JsonInvalid, match="signal 'answer'"):
        await handle.signal("answer", {1, 2})


def test_moments_without_a_zone_and_times_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="aware datetime"):
        sleep_until(datetime(2030, 1, 1))
    for wrong in ("soon", True, float("nan")):
        with pytest.raises(TypeError, match="not a time"):
            defer(wrong)
    with pytest.raises(TypeError, match="the signal's name"):
        wait_for_signal("")


async def test_a_suspended_run_can_be_cancelled(engine: Engine) -> None:
    handle = await engine.start(SIGNALLED)
    assert (await handle.result()).status == "suspended"
    await engine.cancel(handle.id)
    assert (await engine.result(handle.id)).status == "cancelled"
    await handle.signal("answer", 1)
    assert (await engine.result(handle.id)).status == "cancelled"


async def test_a_cancelled_run_that_rested_keeps_what_its_steps_produced_and_has_none_that_waits(
    tmp_path: Path,
) -> None:
    @task
    async def made() -> int:
        return 7

    flow = Workflow("resting", [made, asked, answered])
    async with engine_on(tmp_path) as engine:
        handle = await engine.start(flow, {"n": 1})
        assert (await handle.result()).status == "suspended"
        await handle.cancel()
        result = await engine.result(handle.id)
        assert {one.task: one.status for one in result.steps} == {
            "made": "succeeded",
            "asked": "cancelled",
            "answered": "cancelled",
        }
        assert result.context == {"n": 1, "made": 7}
        other = await engine.start(flow, {"n": 2})
        assert (await other.result()).status == "suspended"
    async with engine_on(tmp_path) as engine:  # without the code
        await engine.cancel(other.id)
        result = await engine.result(other.id)
        assert [(one.task, one.status) for one in result.steps] == [
            ("made", "succeeded"),
            ("asked", "cancelled"),
        ]
        assert result.context == {"n": 2}
        again = await engine.retry(other.id, flow)
        assert (await again.result()).status == "suspended"


async def test_ten_thousand_suspended_runs_cost_nothing_while_idle(tmp_path: Path) -> None:
    import resource

    async with engine_on(tmp_path) as engine:
        handles: list[RunHandle] = []
        for _ in range(20):
            handles = await asyncio.gather(*[engine.start(SIGNALLED) for _ in range(500)])
            await asyncio.gather(*[one.result() for one in handles])
        assert (await engine.store.read("counts")) == [{"status": "suspended", "runs": 10_000}]
        assert engine.live(handles[0].id) is None
        seen: list[tuple[float, int]] = []
        for _ in range(3):  # the quietest counts: a pause of the machine makes heartbeats fall due
            before = resource.getrusage(resource.RUSAGE_SELF)
            await asyncio.sleep(1.0)  # what is measured is that nothing happens meanwhile
            after = resource.getrusage(resource.RUSAGE_SELF)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seen.append((spent, after.ru_nvcsw - before.ru_nvcsw))
            if spent < 0.02 and seen[-1][1] < 10:
                break
        assert min(spent for spent, _ in seen) < 0.02, f"{seen} s of CPU time in idle seconds"
        assert min(wakes for _, wakes in seen) < 10, "nothing wakes up"
        await engine.signal(handles[0].id, "answer", "one of many")
        assert (await handles[0].result()).context["asked"] == "one of many"
