"""Several programs, one store: whoever is killed or frozen, each due moment is run once."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from servers import PostgresServer, postgres_server

from laneway import Engine, Scheduler

WORKER = Path(__file__).parents[2] / "support" / "schedule_worker.py"
DUE_MOMENTS = int(os.environ.get("LANEWAY_TEST_DUE_MOMENTS", "100"))
"""How long the campaign is; 500 and more for a thorough one."""
PROGRAMS = int(os.environ.get("LANEWAY_TEST_SCHEDULERS", "3"))
STEP_MS = 40


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/laneway.db"
    server: PostgresServer = request.getfixturevalue("server")
    return server.new_database()


PROCESSES: list[asyncio.subprocess.Process] = []


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """A test that fails leaves no program behind."""
    yield
    while PROCESSES:
        process = PROCESSES.pop()
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def begun(url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), url, str(STEP_MS), stdin=-1, stdout=-1
    )
    PROCESSES.append(process)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def ended(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.stdout is not None
    await process.stdout.read()
    await process.wait()


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(60 + DUE_MOMENTS)
async def test_killing_and_freezing_schedulers_loses_and_doubles_no_due_moment(url: str) -> None:
    chance = random.Random(7)
    first = await begun(url)
    since = time.time()
    others = await asyncio.gather(*(begun(url) for _ in range(PROGRAMS - 1)))
    processes = [first, *others]
    killed = frozen = 0
    while time.time() - since < DUE_MOMENTS * STEP_MS / 1000 or not frozen:
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        victim = chance.randrange(PROGRAMS)
        if killed <= frozen:
            processes[victim].kill()
            await processes[victim].wait()
            processes[victim] = await begun(url)
            killed += 1
        else:
            processes[victim].send_signal(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(0.05, 0.8))
            processes[victim].send_signal(signal.SIGCONT)
            frozen += 1
    for one in processes:
        await ended(one)
    assert killed
    assert frozen
    dues, runs = await finished(url)
    steps = {later - earlier for earlier, later in pairwise(dues)}
    assert steps == {timedelta(milliseconds=STEP_MS)}
    assert len(dues) >= DUE_MOMENTS
    assert runs == [f"schedule:tick@{due.isoformat()}" for due in dues]


async def finished(url: str) -> tuple[list[datetime], list[str]]:
    """Let one more engine see everything to its end; all due moments and the keys of all runs, in order."""
    async with Engine(url, lease=1.0) as engine, Scheduler(engine) as scheduler:
        await scheduler.pause("tick")
        await scheduler.settled()
    rows, runs = recorded(url)
    assert {status for _, status in rows} == {"succeeded"}
    # only the latest hundred are kept; the runs have all of them
    kept = [datetime.fromtimestamp(due, UTC) for due, _ in rows]
    dues = [datetime.fromisoformat(key.partition("@")[2]) for key in runs]
    assert kept == sorted(dues)[-len(kept) :]
    return sorted(dues), sorted(runs, key=lambda key: datetime.fromisoformat(key.partition("@")[2]))


def recorded(url: str) -> tuple[list[tuple[float, str]], list[str]]:
    """The firings that are kept, and the keys of all runs."""
    firings, keys = "select due, status from firing order by due", "select key from run"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            rows = connection.execute(firings).fetchall()
            return rows, [row[0] for row in connection.execute(keys)]
    with psycopg.connect(url, options="-c search_path=laneway") as server:
        return server.execute(firings).fetchall(), [row[0] for row in server.execute(keys)]


@pytest.mark.chaos
async def test_a_killed_leader_is_succeeded_as_soon_as_it_is_gone(url: str) -> None:
    leader = await begun(url)
    async with Engine(url) as engine, Scheduler(engine) as scheduler:
        await scheduler.pause("tick")  # nothing is due: the leader's lease has no end
        assert not scheduler.leads
        leader.kill()
        await leader.wait()
        await scheduler.settled()
        assert scheduler.leads
    await ended(leader)


@pytest.mark.postgres
async def test_a_change_and_a_leader_at_once_do_not_lock_each_other_up(server: PostgresServer) -> None:
    url = server.new_database()
    async with (
        Engine(url) as engine,
        Scheduler(engine) as scheduler,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as other,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as look,
    ):
        await scheduler.add("tick", "somewhere:flow", every=timedelta(hours=1))
        await scheduler.settled()
        async with other.transaction():  # as a leader who moves the job on does
            await other.execute("select term from laneway.schedule_lead for share")
            pausing = asyncio.ensure_future(scheduler.pause("tick"))
            while not (await (await look.execute("select 1 from pg_locks where not granted")).fetchall()):
                await asyncio.sleep(0.01)
            await other.execute("update laneway.schedule set missed = missed where name = 'tick'")
        await pausing
        assert [one.paused for one in await scheduler.jobs()] == [True]


async def test_an_idle_scheduler_does_not_wake_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db") as engine, Scheduler(engine) as scheduler:
        await scheduler.add("hourly", "somewhere:flow", every=timedelta(hours=1))
        await scheduler.settled()
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        wakes: list[float] = []
        selector = loop._selector  # type: ignore[attr-defined]
        select = selector.select

        def counted(timeout: float | None) -> object:
            found = select(timeout)
            wakes.append(time.monotonic())
            return found

        monkeypatch.setattr(selector, "select", counted)
        counts: list[int] = []
        for _ in range(3):  # the quietest counts: a pause of the machine makes heartbeats fall due
            wakes.clear()
            await asyncio.sleep(1.0)
            counts.append(len(wakes))
            if counts[-1] <= 3:  # the sleep of this test itself
                break
        assert min(counts) <= 3, counts
