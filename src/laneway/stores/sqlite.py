"""The SQLite store: one file, WAL, one writer thread with group commit, readers on connections of their own."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from laneway._core.errors import RunNotFound, StoreError, StoreSchemaNewer
from laneway._core.records import ENDED, RunRecord, SavedRun, Submission, Transition
from laneway.ports import EngineCard
from laneway.stores import _sqlite_reads as reads
from laneway.stores._processes import is_gone
from laneway.stores._rows import run_id
from laneway.stores._sqlite_errors import explained
from laneway.stores._sqlite_writer import Batch, Writer
from laneway.stores.sql import named, script

__all__ = ["SqliteStore"]

_SCHEMA = 1
_BUSY_MS = 10_000
_LEASE = 15.0


class SqliteStore:
    """Store port on a SQLite file that several processes of one host may share.

    Args:
        path: the file; it and its `-wal` and `-shm` companions are made beside it.
        durability: `commit` survives the death of the process, `fsync` also a loss of power.
    """

    def __init__(self, path: str | Path, *, durability: Literal["commit", "fsync"] = "commit") -> None:
        self.path = Path(path).absolute()
        self.url = f"sqlite:///{path}"
        self._durability = durability
        self._card = EngineCard("", "", 0, 0.0)
        self._sql = named("sqlite", "statements")
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reader: sqlite3.Connection | None = None
        self._batch: Batch | None = None

    # ---- life

    async def open(self, engine: EngineCard) -> None:
        self._card = engine
        if self._writer is None:
            writer = Writer(self._connect, self._sql, self.url)
            await writer.start()
            self._writer = writer
            self._readers = ThreadPoolExecutor(1, "laneway-store-reader")
        self._writer.engine = engine.id
        row = (engine.id, engine.host, engine.pid, engine.started, _clock() + _LEASE)
        await self._writer.do(lambda connection: connection.execute(self._sql["engine_register"], row))

    async def close(self) -> None:
        if self._writer is None:
            return
        self._flush()
        engine = self._card.id

        def leave(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql["run_free"], (engine,))
            connection.execute(self._sql["engine_forget"], (engine,))

        try:
            await self._writer.do(leave)
        finally:
            await self._writer.stop()
            self._writer = None
            if self._readers is not None:
                await asyncio.get_running_loop().run_in_executor(self._readers, self._close_reader)
                self._readers.shutdown()

    def _connect(self) -> sqlite3.Connection:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(2, f"the folder {self.path.parent} does not exist", str(self.path))
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {'full' if self._durability == 'fsync' else 'normal'}")
        connection.execute("pragma wal_autocheckpoint = 2000")
        self._migrate(connection)
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("begin immediate")
        try:
            found = connection.execute("pragma user_version").fetchone()[0]
            if found > _SCHEMA:
                raise StoreSchemaNewer(store=self.url, found=found, known=_SCHEMA)
            if found < 1:
                for statement in script("sqlite", "0001_schema").split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"pragma user_version = {_SCHEMA}")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise

    # ---- writing

    async def submit(self, submission: Submission) -> RunRecord:
        future: asyncio.Future[RunRecord] = asyncio.get_running_loop().create_future()
        self._open_batch().submissions.append((submission, future))
        return await future

    def commit(self, transition: Transition, answered: Callable[[BaseException | None], None]) -> None:
        batch = self._open_batch()
        batch.transitions.append(transition)
        batch.answers.append(answered)

    def _open_batch(self) -> Batch:
        batch = self._batch
        if batch is None:
            batch = self._batch = Batch()
            asyncio.get_running_loop().call_soon(self._flush)
        return batch

    def _flush(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._live().put(batch)

    async def claim(self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1) -> list[SavedRun]:
        wanted = None if run is None else run_id(run)

        def take(connection: sqlite3.Connection) -> list[SavedRun]:
            gone = self._gone(connection)
            taken: list[SavedRun] = []
            for found, workflow, engine, status in connection.execute(self._sql["runs_open"]).fetchall():
                free = (engine is None or engine in gone) and status not in ENDED
                if free and (found == wanted if wanted is not None else workflow in workflows):
                    connection.execute(self._sql["run_take"], (self._card.id, found))
                    taken.append(reads.saved(connection, self._sql, found))
                    if len(taken) == limit:
                        break
            for engine in gone:
                connection.execute(self._sql["run_free"], (engine,))
                connection.execute(self._sql["engine_forget"], (engine,))
            return taken

        found: list[SavedRun] = await self._live().do(take)
        return found

    def _gone(self, connection: sqlite3.Connection) -> set[str]:
        """Engines whose lease ended, or whose process is seen to be gone."""
        now = _clock()
        return {
            one
            for one, host, pid, started, expires in connection.execute(self._sql["engines"]).fetchall()
            if one != self._card.id
            and (expires < now or is_gone(EngineCard(one, host, pid, started), beside=self._card))
        }

    async def renew(self, *, lease: float) -> list[tuple[str, str]]:
        def extend(connection: sqlite3.Connection) -> list[tuple[str, str]]:
            connection.execute(self._sql["engine_renew"], (_clock() + lease, self._card.id))
            found = connection.execute(self._sql["wishes_of"], (self._card.id,)).fetchall()
            for run, wish in found:
                connection.execute(self._sql["wish_done"], (run, wish))
            return [(str(UUID(bytes=run)), wish) for run, wish in found]

        wishes: list[tuple[str, str]] = await self._live().do(extend)
        return wishes

    async def ask(self, run: str, wish: str) -> None:
        row = (run_id(run), wish, time.time())

        def leave(connection: sqlite3.Connection) -> None:
            if connection.execute(self._sql["run_by_id"], row[:1]).fetchone() is None:
                raise RunNotFound(run=run, store=self.url)
            connection.execute(self._sql["wish_write"], row)

        await self._live().do(leave)

    # ---- reading

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        function: Callable[..., list[dict[str, Any]]] = reads.QUERIES[query]
        if self._readers is None:
            raise StoreError(message=f"store {self.url} is not open")

        def ask() -> list[dict[str, Any]]:
            try:
                if self._reader is None:
                    self._reader = sqlite3.connect(
                        self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
                    )
                    self._reader.execute("pragma query_only = on")
                return function(self._reader, self._sql, self.url, **arguments)
            except sqlite3.Error as error:
                raise explained(error, self.url) from error

        return await asyncio.get_running_loop().run_in_executor(self._readers, ask)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _live(self) -> Writer:
        if self._writer is None:
            raise StoreError(message=f"store {self.url} is not open")
        return self._writer


def _clock() -> float:
    """Seconds that all processes of this host count alike and that no change of the wall clock touches."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
