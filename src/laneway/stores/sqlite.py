"""The SQLite store: one file, WAL, one writer thread with group commit, readers on connections of their own."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from laneway._core.errors import StoreError
from laneway._core.records import RunRecord, SavedRun, Submission, Transition, Wish
from laneway.ports import Answer, EngineCard, Standing
from laneway.stores import _sqlite_jobs as jobs
from laneway.stores._batch import Batch
from laneway.stores._migrations import Migration, migrations
from laneway.stores._rows import run_id
from laneway.stores._sqlite_artifacts import Files, tidied
from laneway.stores._sqlite_errors import explained
from laneway.stores._sqlite_file import DatabaseFile
from laneway.stores._sqlite_nudges import Nudges
from laneway.stores._sqlite_reads import READS
from laneway.stores._sqlite_writer import Job, Writer
from laneway.stores.questions import checked
from laneway.stores.sql import named

__all__ = ["SqliteStore"]

_BUSY = 5.0


def boot_clock() -> float:
    """Seconds that all processes of this host count alike and that no change of the wall clock touches."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SqliteStore:
    """Store port on a SQLite file that several processes of one host may share.

    Args:
        path: the file; it and its `-wal` and `-shm` companions are made beside it.
        durability: `commit` survives the death of the process, `fsync` also a loss of power.
        busy: seconds to wait for another program's lock before saying so.
        clock: what leases are counted by.
        hook: called in the writer's thread with the name of each point of a commit; for crash tests.
        changes: the schema changes to know instead of this release's; for tests of upgrades.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Literal["commit", "fsync"] = "commit",
        busy: float = _BUSY,
        clock: Callable[[], float] = boot_clock,
        hook: Callable[[str], None] | None = None,
        changes: Sequence[Migration] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.url = f"sqlite:///{path}"
        self._card = EngineCard("", "", 0, 0.0)
        self._sql = named("sqlite", "statements")
        self._file = DatabaseFile(
            self.path,
            self.url,
            synced=durability == "fsync",
            migrations=migrations("sqlite") if changes is None else changes,
            busy=busy,
        )
        # resolved, as SQLite names its own companions
        self.files = Files(self.path.resolve(), synced=durability == "fsync")
        self._clock = clock
        self._hook = hook
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reader: sqlite3.Connection | None = None
        self._reads_from: tuple[int, int] | None = None
        self._batch: Batch | None = None
        self._nudges = Nudges()

    # ---- life

    async def open(
        self, engine: EngineCard, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
    ) -> None:
        if self._writer is None:
            writer = Writer(self._file, self._sql, self._clock, self._hook, self._nudges.send)
            await writer.start()
            self._writer = writer
            self._readers = ThreadPoolExecutor(1, "laneway-store-reader")
        writer = self._writer
        self._flush()  # what was made in the old name
        self._card = engine
        self._nudges.listen(engine.id, nudged)
        writer.lease = lease
        row = (engine.id, engine.host, engine.pid, engine.started, self._clock() + lease, self._file.schema)

        def register(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql["engine_register"], row)
            writer.engine = engine.id  # between two commits: each is made under one name
            writer.announced = False

        await writer.do(register)

    async def close(self) -> None:
        if self._writer is None:
            return
        batch, self._batch = self._batch, None
        if batch is not None:
            self._writer.hand(batch)
        writer, self._writer = self._writer, None
        self._nudges.close()
        try:
            freed = await writer.do(jobs.leave(self._sql, self._card.id))
        finally:
            await writer.stop()
            if self._readers is not None:
                await asyncio.get_running_loop().run_in_executor(self._readers, self._close_reader)
                self._readers.shutdown()
        self._nudges.send(freed)

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
        found: list[SavedRun] = await self._do(
            jobs.claim(self._sql, self.url, self._card, self._clock, wanted, workflows, limit, reopen=reopen)
        )
        return found

    async def renew(self, *, lease: float) -> list[Wish]:
        wishes: list[Wish] = await self._do(
            jobs.renew(self._sql, self.url, self._card.id, self._clock, lease)
        )
        return wishes

    async def ask(self, run: str, wish: str, *, name: str = "", value: bytes | None = None) -> Standing:
        standing, whom = await self._do(
            jobs.ask(self._sql, self.url, self._card, self._clock, Wish(run, wish, name, value))
        )
        self._nudges.send(whom)
        answer: Standing = standing
        return answer

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        kept: int | None = await self._do(jobs.keep(self._sql, kind, name, body, version))
        return kept

    async def sweep(self, *, before: float, limit: int = 1000) -> dict[str, int]:
        swept: dict[str, int] = await self._do(jobs.sweep(self._sql, self.files, before, limit))
        if swept["runs"] < limit:  # the last piece
            for name, number in (await tidied(self)).items():
                swept[name] += number
        return swept

    # ---- reading

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        checked(query, arguments)
        if query in jobs.LOOKS:  # these need the clock and the engine's own card
            look: Job = jobs.LOOKS[query](self._sql, self._card, self._clock, **arguments)
            return await self._read(look)
        function = READS[query]
        return await self._read(lambda connection: function(connection, self._sql, self.url, **arguments))

    async def _read(self, job: Job) -> list[dict[str, Any]]:
        if self._readers is None or self._writer is None:
            raise self._closed()

        def ask() -> list[dict[str, Any]]:
            try:
                connection = self._reading()
                connection.execute("begin")
                try:
                    answer: list[dict[str, Any]] = job(connection)
                finally:
                    connection.execute("rollback")
            except (sqlite3.Error, OSError) as error:
                raise explained(error, self.url) from error
            return answer

        return await asyncio.get_running_loop().run_in_executor(self._readers, ask)

    def _reading(self) -> sqlite3.Connection:
        """The reading connection, opened anew when another file took the path."""
        found = self._file.identity()
        if self._reader is not None and found is not None and found != self._reads_from:
            self._close_reader()
        if self._reader is None:
            self._reader = self._file.read_only()
            self._reads_from = found
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def _do(self, job: Job) -> Any:
        return await self._live().do(job)

    def _live(self) -> Writer:
        if self._writer is None:
            raise self._closed()
        return self._writer

    def _closed(self) -> StoreError:
        return StoreError(message=f"store {self.url} is not open")
