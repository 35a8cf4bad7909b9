"""What starts workflows other than time: a run's end, a file that appears."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, RunFailed, Scheduler, Workflow, task
from laneway.engine.trigger_records import TriggerInvalid, TriggerNotFound
from laneway.engine.trigger_watch import appeared_since, file_time

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


@task
async def first(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n + 1


@task
async def second(run: str, context: dict[str, Any], status: str) -> str:
    seen.append((status, context.get("first")))
    return run


@task
async def load(path: str) -> str:
    seen.append(Path(path).name)
    return path


leading = Workflow("leading", [first])
following = Workflow("following", [second])
loading = Workflow("loading", [load])
GIVEN = {"run": "{run}", "context": "{context}", "status": "{status}"}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_runs_end_starts_another_workflow_once(tmp_path: Path, kind: str) -> None:
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine, Scheduler(engine) as scheduler:
        await engine.run(leading, {"n": 100})  # before the trigger: not followed
        await scheduler.triggers.after("follow-up", following, follows=leading, parameters=GIVEN)
        await scheduler.settled()
        for number in range(3):
            await engine.run(leading, {"n": number})
        with pytest.raises(RunFailed):
            await engine.run(leading, {"n": -1})
        await until(lambda: len(seen) == 3)
        scheduler.triggers.look()
        await scheduler.triggers.after("follow-up", following, follows=leading, parameters=GIVEN)
        await until_async(lambda: ended(engine, 3))
    assert seen == [("succeeded", 1), ("succeeded", 2), ("succeeded", 3)]


async def ended(engine: Engine, count: int) -> bool:
    return len(await engine.find(workflow="following", status="succeeded")) == count


async def test_what_ended_while_nobody_scheduled_is_followed_by_the_next_scheduler(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine:
        async with Scheduler(engine) as scheduler:
            await scheduler.triggers.after(
                "alarm", following, follows="leading", on=["failed"], parameters=GIVEN
            )
        await engine.run(leading, {"n": -1}, check=False)
        await engine.run(leading, {"n": 1})
        for _ in range(2):
            async with Scheduler(engine) as scheduler:
                await scheduler.triggers.after(
                    "alarm", following, follows="leading", on=["failed"], parameters=GIVEN
                )
                await until_async(lambda: ended(engine, 1))
    assert seen == [("failed", None)]


async def test_a_file_that_appears_starts_a_workflow_once_for_each_state_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "old.csv").write_text("was there before")
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine:
        async with Scheduler(engine) as scheduler:
            await asyncio.sleep(0.05)  # file times are coarse
            await add(scheduler, folder)
            await scheduler.settled()
            (folder / "a.csv").write_text("1")
            (folder / "a.txt").write_text("of another kind")
            await until(lambda: seen == ["a.csv"])
            (tmp_path / "moved").write_text("2")
            (tmp_path / "moved").rename(folder / "b.csv")
            await until(lambda: seen == ["a.csv", "b.csv"])
            with (folder / "c.csv").open("w") as growing:
                growing.write("half of ")
                growing.flush()
                await asyncio.sleep(0.1)
                assert "c.csv" not in seen
                growing.write("it")
            await until(lambda: "c.csv" in seen)
            (folder / "a.csv").write_text("1 and more")
            await until(lambda: seen.count("a.csv") == 2)
        (folder / "while-away.csv").write_text("3")
        async with Scheduler(engine) as scheduler:
            await add(scheduler, folder)
            await until(lambda: "while-away.csv" in seen)
            (folder / "sub.csv").mkdir()
            await until(lambda: "sub.csv" in seen)
    assert sorted(seen) == ["a.csv", "a.csv", "b.csv", "c.csv", "sub.csv", "while-away.csv"]


async def add(scheduler: Scheduler, folder: Path) -> None:
    await scheduler.triggers.on_files(
        "import", loading, folder, pattern="*.csv", parameters={"path": "{path}"}
    )


async def test_a_removed_trigger_starts_nothing(tmp_path: Path) -> None:
    async with Engine("memory://") as engine, Scheduler(engine) as scheduler:
        await add(scheduler, tmp_path)
        await scheduler.settled()
        await scheduler.triggers.remove("import")
        assert await scheduler.triggers.all() == []
        (tmp_path / "a.csv").write_text("1")
        await scheduler.settled()
        await asyncio.sleep(0.1)
    assert seen == []


async def test_mistakes_are_refused() -> None:
    async with Engine("memory://") as engine:
        with pytest.raises(TriggerInvalid, match="use succeeded, failed or cancelled"):
            await engine.scheduler.triggers.after("x", leading, follows="y", on=["done"])


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_paused_trigger_makes_up_for_nothing_when_it_goes_on(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine, Scheduler(engine) as scheduler:
        triggers = scheduler.triggers
        await triggers.after("follow-up", following, follows=leading, parameters=GIVEN)
        await add(scheduler, folder)
        for name in ("follow-up", "import"):
            assert (await triggers.pause(name)).paused
            assert (await triggers.pause(name)).paused
        await scheduler.settled()
        await engine.run(leading, {"n": 1})
        (folder / "during.csv").write_text("1")
        await asyncio.sleep(0.05)  # file times are coarse
        await add(scheduler, folder)  # a program that starts again does not undo the pause
        assert [one.paused for one in await triggers.all()] == [True, True]
        for name in ("follow-up", "import"):
            assert not (await triggers.resume(name)).paused
            assert not (await triggers.resume(name)).paused
        await engine.run(leading, {"n": 2})
        (folder / "after.csv").write_text("2")
        await until(lambda: len(seen) == 2)
        await until_async(lambda: ended(engine, 1))
        await engine.run(leading, {"n": 3})
        await until_async(lambda: ended(engine, 2))
    assert sorted(map(str, seen)) == ["('succeeded', 3)", "('succeeded', 4)", "after.csv"]


async def test_a_pause_asked_for_elsewhere_is_not_undone_by_who_acts_on_the_trigger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine, Engine(url) as other, Scheduler(engine) as scheduler:
        await scheduler.triggers.after("follow-up", following, follows=leading, parameters=GIVEN)
        for number in range(5):
            await engine.run(leading, {"n": number})  # moves the trigger on
            await other.scheduler.triggers.pause("follow-up")
            assert (await scheduler.triggers.trigger("follow-up")).paused
            await other.scheduler.triggers.resume("follow-up")
        await engine.run(leading, {"n": 10})
        await until(lambda: ("succeeded", 11) in seen)
        await other.scheduler.triggers.remove("follow-up")
        assert await scheduler.triggers.all() == []


async def test_runs_of_a_trigger_are_found_by_its_tag() -> None:
    async with Engine("memory://") as engine, Scheduler(engine) as scheduler:
        await scheduler.triggers.after("follow-up", following, follows=leading, parameters=GIVEN)
        await engine.run(leading, {"n": 1})
        await until_async(lambda: ended(engine, 1))
        (run,) = await engine.find(tags={"trigger": "follow-up"})
        assert run["workflow"] == "following"


async def test_a_trigger_that_is_not_there_is_told_with_the_nearest_name() -> None:
    async with Engine("memory://") as engine:
        triggers = engine.scheduler.triggers
        await triggers.after("follow-up", following, follows=leading)
        for action in (triggers.trigger, triggers.pause, triggers.resume, triggers.remove):
            with pytest.raises(TriggerNotFound, match="Did you mean 'follow-up'"):
                await action("folow-up")
        with pytest.raises(TriggerNotFound, match="no HTTP trigger"):
            await triggers.http("follow-up")


def test_a_file_of_the_very_moment_a_trigger_was_added_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.touch()
    moment = file.stat().st_ctime
    assert [one.path for one in appeared_since(str(tmp_path), "*", moment)] == [str(file)]
    assert appeared_since(str(tmp_path), "*", moment + 0.001) == []
    assert file_time() >= moment
