"""The Postgres store keeps the store contract, on a real server."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from servers import PostgresServer, postgres_server

from laneway.stores import _postgres_rows as rows
from laneway.stores._migrations import migrations
from laneway.stores._postgres_link import Connection, Link
from laneway.stores.artifacts import artifacts_of
from laneway.stores.postgres import PostgresStore
from laneway.testing.store_parts import committed, step, submission, written
from laneway.testing.stores import ArtifactSuite, StoreSuite, opened

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


class PostgresSite:
    def __init__(self, url: str) -> None:
        self.url = url

    def store(self) -> PostgresStore:
        return PostgresStore(self.url)

    async def let_leases_end(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            await connection.execute("update laneway.engine set expires = expires - interval '100 s'")


class TestPostgresStore(StoreSuite, ArtifactSuite):
    @pytest.fixture
    async def site(self, server: PostgresServer) -> PostgresSite:
        return PostgresSite(server.new_database())


@pytest.fixture
def database(server: PostgresServer) -> str:
    return server.new_database()


@pytest.mark.parametrize("what", ["job", "commit"])
async def test_who_is_taken_back_in_a_deadlock_tries_again_at_once(
    database: str, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def both(connection: Connection) -> None:
        nonlocal calls
        calls += 1
        await connection.execute("select pg_advisory_xact_lock(1)")
        await connection.execute("select pg_advisory_xact_lock(2)")

    write_steps = rows.write_steps

    async def written_after(connection: Connection, *more: Any) -> None:
        await both(connection)
        await write_steps(connection, *more)

    async with (
        opened(PostgresStore(database)) as store,
        await psycopg.AsyncConnection.connect(database, autocommit=True) as other,
    ):
        record = await store.submit(submission())
        await other.execute("set deadlock_timeout = '1h'")  # so that it is the store that notices
        if what == "commit":
            monkeypatch.setattr(rows, "write_steps", written_after)
        async with other.transaction():
            await other.execute("select pg_advisory_xact_lock(2)")
            if what == "job":
                assert isinstance(store, PostgresStore)
                working = asyncio.ensure_future(store._live().do(both))
            else:
                working = asyncio.ensure_future(committed(store, written(record, step(record, "one"))))
            while calls == 0:
                await asyncio.sleep(0.01)
            await other.execute("select pg_advisory_xact_lock(1)")
        await working
        assert calls == 2
        assert not caplog.records
        if what == "commit":
            saved = (await store.read("saved", run=str(UUID(bytes=record.run))))[0]["saved"]
            assert [one.task for one in saved.steps] == ["one"]


async def test_release_before_artifacts_works_on_beside_this_one(database: str) -> None:
    before = Link(database, synced=False, changes=migrations("postgres")[:2])

    async def opened_before() -> None:
        connection = await before.connect("writer")
        await before.prepare(connection)
        await connection.execute("insert into engine (id, host, pid, started, expires, schema) values "
            "(gen_random_uuid()::text, 'h', 1, 1, now() + interval '1 hour', 2)")  # fmt: skip
        await connection.close()

    await opened_before()
    async with opened(PostgresStore(database)) as store:
        assert (await store.read("sizes"))[0]["artifacts"] == 0
        assert await artifacts_of(store).listed(None) == []
        await opened_before()
