"""The Postgres store: several engines on several hosts, woken by the server, leases by the server's clock."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

import psycopg

from laneway import aio
from laneway._core.errors import StoreError, StoreUnavailable
from laneway._core.records import RunRecord, SavedRun, Submission, Transition, Wish
from laneway.ports import Answer, EngineCard, Standing
from laneway.stores import _postgres_jobs as jobs
from laneway.stores._batch import Batch
from laneway.stores._migrations import migrations
from laneway.stores._postgres_link import ALL, Connection, Link, channel, pool_channel
from laneway.stores._postgres_reads import READS, Asker
from laneway.stores._postgres_writer import PostgresWriter
from laneway.stores._rows import run_id
from laneway.stores.questions import checked
from laneway.stores.sql import named

__all__ = ["PostgresStore"]

log = logging.getLogger("laneway.stores")

_PAUSE = 1.0
"""Seconds between two tries to listen while the server is away."""


class PostgresStore:
    """Store port on a Postgres database.

    Each engine has three connections: one writes, one reads, one listens. The tables are in the schema `laneway`.

    Args:
        url: `postgresql://user@host/database`.
        durability: `fsync` waits for the server's disk with every commit, whatever its default is.
    """

    def __init__(self, url: str, *, durability: str = "commit") -> None:
        self._link = Link(url, synced=durability == "fsync", changes=migrations("postgres"))
        self.url = self._link.url
        self._card = EngineCard("", "", 0, 0.0)
        self._sql: dict[str, Any] = named("postgres", "statements")
        self._writer: PostgresWriter | None = None
        self._reader: Connection | None = None
        self._reading = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self._batch: Batch | None = None
        self.pools_called: Callable[[], None] | None = None
        """Called on the event loop when another engine gave something of a shared pool back, or may have."""

    # ---- life

    async def open(
        self, engine: EngineCard, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
    ) -> None:
        self._link.lease = lease
        if self._writer is None:
            writer = PostgresWriter(self._link, self._sql)
            await writer.start()
            self._writer = writer
        writer = self._writer
        writer.lease = lease
        self._flush()  # what was made in the old name
        self._card = engine
        row = (engine.id, engine.host, engine.pid, engine.started, lease, self._link.schema)

        async def register(connection: Connection) -> None:
            await connection.execute(self._sql["engine_register"], row)
            writer.engine = engine.id  # between two commits: each is made under one name

        await writer.do(register)
        await self._stop_listening()
        if nudged is not None:
            heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listening = aio.create_task(
                self._listen(engine.id, nudged, heard), name="laneway store listener"
            )
            await asyncio.wait([heard, self._listening], return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        if self._writer is None:
            return
        self._flush()
        writer, self._writer = self._writer, None
        await self._stop_listening()
        try:
            await writer.do(jobs.leave(self._sql, self._card.id))
        finally:
            await writer.stop()
            reader, self._reader = self._reader, None
            if reader is not None:
                await reader.close()

    async def _listen(self, engine: str, nudged: Callable[[], None], heard: asyncio.Future[None]) -> None:
        """Pass the server's notifications on. After a lost connection something may have been missed: look then too."""
        told = False
        while True:
            try:
                connection = await self._link.connect("listener")
                told = False
                async with connection:
                    await connection.execute(f"listen {channel(engine)}".encode())
                    await connection.execute(f"listen {ALL}".encode())
                    await connection.execute(f"listen {pool_channel(engine)}".encode())
                    if heard.done():
                        nudged()
                        self._pools_called()
                    else:
                        heard.set_result(None)
                    async for note in connection.notifies():
                        if note.channel == pool_channel(engine):
                            self._pools_called()
                        else:
                            nudged()
            except (psycopg.Error, OSError, StoreUnavailable) as error:
                if not told:
                    log.warning("not listening to %s until it is back: %s", self.url, error)
                told = True
            await asyncio.sleep(_PAUSE)

    def _pools_called(self) -> None:
        if self.pools_called is not None:
            self.pools_called()

    async def call_pools(self, engines: Collection[str]) -> None:
        """Have the server tell those engines to look at shared pools again."""

        async def tell(connection: Connection) -> None:
            for engine in engines:
                await connection.execute(self._sql["notify"], (pool_channel(engine),))

        await self._live().do(tell)

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    # ---- writing

    async def submit(self, submission: Submission) -> RunRecord:
        future: asyncio.Future[RunRecord] = asyncio.get_running_loop().create_future()
        self._open_batch().submissions.append((submission, future))
        return await future

    def commit(self, transition: Transition, answered: Answer) -> None:
        batch = self._open_batch()
        batch.transitions.append(transition)
        batch.answers.append(answered)

    def _open_batch(self) -> Batch:
        batch = self._batch
        if batch is None:
            self._live()
            batch = self._batch = Batch(self._card.id)
            asyncio.get_running_loop().call_soon(self._flush)
        return batch

    def _flush(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._live().put(batch)

    async def claim(
        self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1, reopen: bool = False
    ) -> list[SavedRun]:
        wanted = None if run is None else run_id(run)
        work = jobs.claim(self._sql, self.url, self._card, wanted, workflows, limit, reopen=reopen)
        found: list[SavedRun] = await self._live().do(work)
        return found

    async def renew(self, *, lease: float) -> list[Wish]:
        wishes: list[Wish] = await self._live().do(jobs.renew(self._sql, self.url, self._card.id, lease))
        return wishes

    async def ask(self, run: str, wish: str, *, name: str = "", value: bytes | None = None) -> Standing:
        work = jobs.ask(self._sql, self.url, self._card, Wish(run, wish, name, value))
        standing: Standing = await self._live().do(work)
        return standing

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        kept: int | None = await self._live().do(jobs.keep(self._sql, kind, name, body, version))
        return kept

    async def sweep(self, *, before: float, limit: int = 1000) -> dict[str, int]:
        swept: dict[str, int] = await self._live().do(jobs.sweep(self._sql, before, limit))
        return swept

    # ---- reading

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        checked(query, arguments)
        self._live()
        async with self._reading:
            try:
                return await self._asked(query, arguments)
            except StoreUnavailable:
                return await self._asked(
                    query, arguments
                )  # the connection was lost meanwhile; now it is a new one

    async def _asked(self, query: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            reader = self._reader
            if reader is None or reader.closed or reader.broken:
                reader = self._reader = await self._link.connect("reader")
                await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            async with reader.transaction():
                return await READS[query](Asker(reader, self._sql, self.url, self._card), **arguments)
        except (psycopg.Error, OSError) as error:
            raise self._link.explained(error) from error

    def _live(self) -> PostgresWriter:
        if self._writer is None:
            raise StoreError(message=f"store {self.url} is not open")
        return self._writer
