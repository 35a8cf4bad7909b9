"""The Postgres server stops, restarts and drops connections in the middle of work: nothing lost, nothing doubled."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from servers import PostgresServer, postgres_server

from laneway import Engine, Workflow, task
from laneway._core.errors import StoreUnavailable

pytestmark = [pytest.mark.chaos, pytest.mark.postgres, pytest.mark.timeout(120)]


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@task
async def first(n: int) -> int:
    await asyncio.sleep(0.005)
    return n + 1


@task
async def second(first: int) -> int:
    await asyncio.sleep(0.005)
    return first * 2


@task
async def third(second: int) -> int:
    return second - 1


FLOW = Workflow("outage", [first, second, third])


def _late_flow(away: asyncio.Event) -> Workflow:
    """The same, with its first step in hand until the event is set."""

    @task
    async def first(n: int) -> int:
        await away.wait()
        return n + 1

    return Workflow("outage-late", [first, second, third])


async def _audit(engine: Engine, runs: int) -> None:
    assert await engine.store.read("counts") == [{"status": "succeeded", "runs": runs}]
    events = [one for one in await engine.events(limit=100_000) if one.kind == "step_succeeded"]
    assert len(events) == len({(one.run, one.task) for one in events}) == 3 * runs


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_work_goes_on_by_itself_after_the_server_was_stopped_and_started(
    server: PostgresServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = asyncio.Event()
    late = _late_flow(away)
    async with Engine(server.url) as engine:
        handles = [
            await engine.start(FLOW if number % 2 else late, {"n": number}, key=f"k{number}")
            for number in range(100)
        ]
        working = asyncio.gather(*[handle.result() for handle in handles])
        await asyncio.to_thread(server.stop, mode)
        away.set()
        with pytest.raises(StoreUnavailable, match="server"):
            await engine.start(FLOW, {"n": 1}, key="while it is away")
        await asyncio.to_thread(server.start)
        results = await asyncio.wait_for(working, 60)
        assert [one.context["third"] for one in results] == [(number + 1) * 2 - 1 for number in range(100)]
        await _audit(engine, 100)
    lines = [one.getMessage() for one in caplog.records if one.name == "laneway.stores"]
    assert any("steps wait for it" in line for line in lines)
    assert any("can be written again" in line for line in lines)


@pytest.mark.slow
async def test_dropped_connections_are_made_again_and_lost_answers_looked_up(server: PostgresServer) -> None:
    async with Engine(server.url) as engine:
        over = asyncio.Event()
        dropped = 0

        async def drop() -> None:
            nonlocal dropped
            async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
                while not over.is_set():
                    rows = await connection.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'laneway writer'"
                    )
                    dropped += len(await rows.fetchall())
                    await asyncio.sleep(0.05)

        dropping = asyncio.ensure_future(drop())
        runs = batch = 0
        while batch < 5 or dropped < 3:
            contexts = [(f"{batch}-{number}", {"n": number}) for number in range(40)]
            for key, context in contexts:
                while True:
                    try:
                        await engine.start(FLOW, context, key=key)
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.01)
            runs += len(contexts)
            batch += 1
        over.set()
        await dropping
        results = await asyncio.gather(*[engine.run(FLOW, {"n": 0}, key=f"{one}-0") for one in range(batch)])
        assert {one.status for one in results} == {"succeeded"}
        while (await engine.store.read("counts")) != [{"status": "succeeded", "runs": runs}]:
            await asyncio.sleep(0.05)
        await _audit(engine, runs)


async def test_a_server_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(StoreUnavailable, match="Check that the server runs") as caught:
        async with Engine("postgresql://laneway:secret@127.0.0.1:1/nothing"):
            pass
    assert "secret" not in str(caught.value)
