"""The scheduler with real engines and runs; the wall clock is turned by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import PostgresServer, postgres_server

from laneway import Engine, Scheduler, Workflow, task
from laneway._core.errors import JsonInvalid
from laneway._core.jobs import Change, Job, JobState
from laneway.engine.schedule_ports import JobInvalid, JobNotFound
from laneway.testing.clock import FakeClock

START = datetime(2027, 1, 1, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

log: list[str] = []
gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _empty() -> None:
    log.clear()
    gates.clear()


@task
async def note(name: str) -> str:
    log.append(name)
    return name


@task
async def held(name: str) -> str:
    log.append(f"{name} begins")
    await gates[name].wait()
    log.append(f"{name} ends")
    return name


@task
async def broken(name: str) -> None:
    log.append(name)
    raise ValueError("as meant")


quick = Workflow("quick", [note])
slow = Workflow("slow", [held])
bad = Workflow("bad", [broken])


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/laneway.db"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("server")
        url = server.new_database()
    async with Engine(url, grace=0.2) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START.timestamp())


@pytest.fixture
async def scheduler(engine: Engine, clock: FakeClock) -> AsyncIterator[Scheduler]:
    async with Scheduler(engine, clock=clock) as opened:
        yield opened
        await opened.close(grace=0)


async def pass_minutes(scheduler: Scheduler, clock: FakeClock, minutes: int = 1) -> None:
    await scheduler.settled()
    for _ in range(minutes):
        clock.advance(60)
        await scheduler.settled()


async def test_a_job_runs_at_each_due_moment_and_not_before(scheduler: Scheduler, clock: FakeClock) -> None:
    await scheduler.add("tick", quick, {"name": "tick"}, cron="*/2 * * * *")
    await pass_minutes(scheduler, clock, 1)
    assert log == []
    await pass_minutes(scheduler, clock, 5)
    assert log == ["tick"] * 3
    firings = await scheduler.history("tick")
    assert [one.due for one in firings] == [START + MINUTE * 6, START + MINUTE * 4, START + MINUTE * 2]
    assert {one.status for one in firings} == {"succeeded"}
    state = await scheduler.job("tick")
    assert (state.last_status, state.last_due) == ("succeeded", START + MINUTE * 6)


async def test_each_due_moment_has_a_run_of_its_own(
    scheduler: Scheduler, engine: Engine, clock: FakeClock
) -> None:
    await scheduler.add("tick", quick, {"name": "{due}"}, every=MINUTE)
    await pass_minutes(scheduler, clock, 3)
    assert log == [(START + MINUTE * one).isoformat() for one in (1, 2, 3)]
    runs = await engine.find(workflow="quick")
    assert sorted(run["key"] for run in runs) == [f"schedule:tick@{moment}" for moment in log]


async def test_jobs_of_one_moment_run_one_after_another_in_order_of_their_names(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    for name in ("b", "a", "c"):
        gates[name] = asyncio.Event()
        gates[name].set()
        await scheduler.add(name, slow, {"name": name}, every=MINUTE)
    await pass_minutes(scheduler, clock)
    assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_parallel_safe_jobs_of_one_moment_run_together_and_the_line_waits_for_them(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    for name in ("a", "b"):
        gates[name] = asyncio.Event()
        await scheduler.add(name, slow, {"name": name}, every=MINUTE, parallel_safe=True)
    await scheduler.add("c", quick, {"name": "c"}, every=MINUTE)
    await scheduler.settled()
    clock.advance(60)
    await until(lambda: len(log) == 2)
    assert sorted(log) == ["a begins", "b begins"]
    gates["a"].set()
    gates["b"].set()
    await scheduler.settled()
    assert log[-1] == "c"


async def test_a_failing_job_leaves_its_neighbours_and_the_scheduler_alone(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    await scheduler.add("a", quick, {"name": "a"}, every=MINUTE, parallel_safe=True)
    await scheduler.add("b", bad, {"name": "b"}, every=MINUTE, parallel_safe=True)
    await scheduler.add("c", quick, {"name": "c"}, every=MINUTE)
    await scheduler.add("d", "no_such_module:flow", {}, every=MINUTE)
    await pass_minutes(scheduler, clock, 2)
    assert sorted(log) == ["a", "a", "b", "b", "c", "c"]
    failed = (await scheduler.history("b"))[0]
    assert (failed.status, failed.reason) == ("failed", "ValueError: as meant")
    refused = (await scheduler.history("d"))[0]
    assert refused.status == "refused"
    assert "no_such_module" in refused.reason


async def test_a_hanging_job_is_stopped_after_its_time_limit_and_the_line_goes_on(
    scheduler: Scheduler, engine: Engine, clock: FakeClock
) -> None:
    gates["a"] = asyncio.Event()
    await scheduler.add("a", slow, {"name": "a"}, every=MINUTE, timeout=0.5)
    await scheduler.add("b", quick, {"name": "b"}, every=MINUTE)
    await pass_minutes(scheduler, clock)
    assert log == ["a begins", "b"]
    firing = (await scheduler.history("a"))[0]
    assert firing.status == "timed_out"
    assert firing.run is not None
    assert (await engine.result(firing.run)).status == "cancelled"


async def test_a_job_cancelled_by_somebody_is_recorded_and_the_line_goes_on(
    scheduler: Scheduler, engine: Engine, clock: FakeClock
) -> None:
    gates["a"] = asyncio.Event()
    await scheduler.add("a", slow, {"name": "a"}, every=MINUTE)
    await scheduler.add("b", quick, {"name": "b"}, every=MINUTE)
    await scheduler.settled()
    clock.advance(60)
    await until(lambda: "a begins" in log and "a" in scheduler.running)
    await engine.cancel(scheduler.running["a"])
    await scheduler.settled()
    assert (await scheduler.history("a"))[0].status == "cancelled"
    assert log == ["a begins", "b"]


async def test_a_job_does_not_overlap_itself_and_the_moment_is_on_record(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    gates["a"] = asyncio.Event()
    await scheduler.add("a", slow, {"name": "a"}, every=MINUTE)
    await scheduler.settled()
    clock.advance(60)
    await until(lambda: "a begins" in log)
    clock.advance(60)
    await until_async(lambda: overlapped(scheduler))
    gates["a"].set()
    await scheduler.settled()
    assert log == ["a begins", "a ends"]
    assert [one.status for one in await scheduler.history("a")] == ["overlapped", "succeeded"]


async def overlapped(scheduler: Scheduler) -> bool:
    return any(one.status == "overlapped" for one in await scheduler.history())


async def test_a_job_that_may_overlap_starts_beside_its_last_run_and_holds_nobody_up(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    gates["a"] = asyncio.Event()
    await scheduler.add("a", slow, {"name": "a"}, every=MINUTE, overlap=True)
    await scheduler.add("b", quick, {"name": "b"}, every=MINUTE)
    await scheduler.settled()
    clock.advance(60)
    await until_async(lambda: ended(scheduler, "b"))
    clock.advance(60)
    await until(lambda: log.count("a begins") == 2)
    gates["a"].set()
    await scheduler.settled()
    assert log.count("a ends") == 2
    assert log.count("b") == 2


async def test_after_a_long_sleep_missed_moments_follow_each_jobs_policy(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    await scheduler.add("all", quick, {"name": "all"}, cron="*/10 * * * *", misfire="all", misfire_limit=4)
    await scheduler.add("once", quick, {"name": "once"}, cron="*/10 * * * *", misfire="once")
    await scheduler.add("skip", quick, {"name": "skip"}, cron="*/10 * * * *", misfire="skip")
    await scheduler.settled()
    clock.advance(65 * 60)
    await scheduler.settled()
    assert sorted(log) == ["all"] * 4 + ["once"]
    assert [(await scheduler.job(one)).missed for one in ("all", "once", "skip")] == [2, 5, 6]
    assert await scheduler.next("skip", 1) == [START + MINUTE * 70]


async def test_setting_the_clock_back_doubles_nothing_and_forward_loses_nothing(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    await scheduler.add("tick", quick, {"name": "{due}"}, every=MINUTE, misfire="all")
    await pass_minutes(scheduler, clock, 3)
    clock.step(-120)
    await scheduler.job("tick")
    clock.advance(120)
    await scheduler.settled()
    clock.advance(300)
    await scheduler.settled()
    assert log == [(START + MINUTE * one).isoformat() for one in range(1, 9)]


async def test_pause_resume_and_run_now(scheduler: Scheduler, clock: FakeClock) -> None:
    await scheduler.add("tick", quick, {"name": "tick"}, every=MINUTE, misfire="all")
    await scheduler.pause("tick")
    await pass_minutes(scheduler, clock, 3)
    assert log == []
    assert await scheduler.next("tick") == []
    await scheduler.run_now("tick")
    await scheduler.settled()
    assert log == ["tick"]
    await scheduler.resume("tick")
    await pass_minutes(scheduler, clock, 1)
    assert log == ["tick", "tick"]
    assert [one.why for one in await scheduler.history("tick")] == ["due", "now"]


async def test_backfill_runs_each_moment_of_the_past_once(scheduler: Scheduler, clock: FakeClock) -> None:
    await scheduler.add("daily", quick, {"name": "{due}"}, cron="0 6 * * *")
    first = datetime(2026, 12, 1, tzinfo=UTC)
    for _ in range(2):  # the second time there is nothing left to do
        await scheduler.backfill("daily", first, first + timedelta(days=3))
        await scheduler.settled()
    assert log == [f"2026-12-0{day}T06:00:00+00:00" for day in (1, 2, 3)]


async def test_a_single_moment_runs_once_and_stays_on_record(scheduler: Scheduler, clock: FakeClock) -> None:
    await scheduler.add("once", quick, {"name": "once"}, at=START + MINUTE)
    await pass_minutes(scheduler, clock, 3)
    assert log == ["once"]
    assert (await scheduler.job("once")).due is None
    await scheduler.add(
        "once", quick, {"name": "once"}, at=START + MINUTE
    )  # as a program does when it starts again
    await pass_minutes(scheduler, clock, 1)
    assert log == ["once"]


async def test_adding_a_job_again_keeps_where_it_stands_unless_its_times_change(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    await scheduler.add("tick", quick, {"name": "one"}, every=timedelta(minutes=10))
    await pass_minutes(scheduler, clock, 4)
    again = await scheduler.add("tick", quick, {"name": "two"}, every=timedelta(minutes=10))
    assert again.due == START + MINUTE * 10
    changed = await scheduler.add("tick", quick, {"name": "two"}, every=timedelta(minutes=20))
    assert changed.due == START + MINUTE * 24


async def test_debounce_starts_once_with_the_last_parameters_and_leaves_nothing_behind(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    await scheduler.settled()
    for number in range(5):
        await scheduler.debounce(quick, {"name": f"call {number}"}, key="user-1", quiet=10)
        clock.advance(3)
        await scheduler.settled()
    assert log == []
    clock.advance(10)
    await scheduler.settled()
    assert log == ["call 4"]
    assert await scheduler.jobs() == []


async def test_debounce_waits_no_longer_than_at_most(scheduler: Scheduler, clock: FakeClock) -> None:
    await scheduler.settled()
    for number in range(5):
        await scheduler.debounce(quick, {"name": f"call {number}"}, key="user-1", quiet=10, at_most=12)
        clock.advance(6)
        await scheduler.settled()
    assert log == ["call 1", "call 3"]


async def test_mistakes_are_told_all_at_once(scheduler: Scheduler) -> None:
    with pytest.raises(JobInvalid) as caught:
        await scheduler.add("x", quick, cron="61 * * * *", misfire_limit=0, timeout=-1)
    assert len(caught.value.problems) == 3
    with pytest.raises(JsonInvalid):
        await scheduler.add("x", quick, {"when": START}, every=60)
    await scheduler.add("nightly", quick, every=60)
    with pytest.raises(JobNotFound, match="Did you mean 'nightly'"):
        await scheduler.pause("nightyl")


async def test_closing_gives_the_running_job_its_grace_and_the_next_start_goes_on(
    tmp_path: Path, clock: FakeClock
) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    gates["a"] = asyncio.Event()
    async with Engine(url, grace=0.05) as engine, Scheduler(engine, clock=clock) as scheduler:
        await scheduler.add("a", slow, {"name": "a"}, every=MINUTE)
        await scheduler.add("b", quick, {"name": "b"}, every=MINUTE)
        await scheduler.settled()
        clock.advance(60)
        await until(lambda: "a begins" in log)
        await scheduler.close(grace=0.05)
        assert [one.status for one in await scheduler.history()] == ["owed", "running"]
    gates["a"].set()
    async with Engine(url, grace=0.05) as engine, Scheduler(engine, clock=clock) as scheduler:
        await scheduler.add("a", slow, {"name": "a"}, every=MINUTE)
        await scheduler.add("b", quick, {"name": "b"}, every=MINUTE)
        await scheduler.settled()
        assert [one.status for one in await scheduler.history()] == ["succeeded", "succeeded"]
        assert len(await engine.find()) == 2
    assert log == ["a begins", "a begins", "a ends", "b"]


async def test_a_job_that_ends_within_the_grace_is_recorded_before_closing_returns(
    engine: Engine, clock: FakeClock
) -> None:
    gates["a"] = asyncio.Event()
    scheduler = Scheduler(engine, clock=clock)
    await scheduler.start()
    await scheduler.add("a", slow, {"name": "a"}, every=MINUTE)
    await scheduler.settled()
    clock.advance(60)
    await until(lambda: "a begins" in log)
    asyncio.get_running_loop().call_later(0.05, gates["a"].set)
    await scheduler.close(grace=5)
    assert (await scheduler.history("a"))[0].status == "succeeded"


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_of_several_engines_one_schedules_and_another_takes_over_at_once(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("server")
        url = server.new_database()
    async with Engine(url) as one, Engine(url) as two:
        first, second = Scheduler(one, clock=clock), Scheduler(two, clock=clock)
        await first.start()
        await first.add("tick", quick, {"name": "{due}"}, every=MINUTE)
        await first.settled()
        await second.start()
        await second.add("tick", quick, {"name": "{due}"}, every=MINUTE)
        await pass_minutes(first, clock, 2)
        assert (first.leads, second.leads) == (True, False)
        await first.close()
        await pass_minutes(second, clock, 2)
        assert (first.leads, second.leads) == (False, True)
        assert log == [(START + MINUTE * number).isoformat() for number in (1, 2, 3, 4)]
        await second.close()


async def ended(scheduler: Scheduler, name: str) -> bool:
    return bool([one for one in await scheduler.history(name) if one.status == "succeeded"])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0)


async def test_a_job_whose_times_this_machine_cannot_tell_is_paused_and_the_others_run(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    """Such as one of another machine, which knows more time zones."""
    elsewhere = Job("elsewhere", "flows:quick", {"name": "x"}, cron="* * * * *", timezone="Nowhere/Else")
    await scheduler.add("minutely", quick, {"name": "a"}, cron="* * * * *")
    await scheduler._write(Change(define=[(JobState(elsewhere, False, START, START), True)]))
    await pass_minutes(scheduler, clock)
    assert log == ["a"]
    assert (await scheduler.job("elsewhere")).paused
    assert not (await scheduler.job("minutely")).paused
