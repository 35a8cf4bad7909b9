"""The Postgres store keeps the store contract, on a real server."""

from collections.abc import Iterator

import psycopg
import pytest
from servers import PostgresServer, postgres_server

from laneway.stores._migrations import migrations
from laneway.stores._postgres_link import Link
from laneway.stores.artifacts import artifacts_of
from laneway.stores.postgres import PostgresStore
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
