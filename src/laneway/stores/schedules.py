"""The book of schedules for each kind of store."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary, finalize

from laneway._core.errors import StoreError
from laneway._core.jobs import Agenda, Change, Firing, Job, JobState, Lead
from laneway.ports import EngineCard, Store
from laneway.stores import _schedule_jobs as work
from laneway.stores._sqlite_nudges import Nudges
from laneway.stores.memory import MemoryStore
from laneway.stores.sql import named, script
from laneway.stores.sqlite import SqliteStore

__all__ = ["SqliteSchedules", "schedules_of"]


class SchedulesUnsupported(StoreError):
    """The store has no place for schedules."""

    code = "LW-SCHED-004"
    template = "store {store} keeps no schedules. Use sqlite:///FILE or postgresql://HOST/DATABASE."


class SqliteSchedules:
    """ScheduleBook port beside a SQLite store, in the same file, written by the same thread."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._sql = named("sqlite", "schedules")
        self._nudges = Nudges()
        self._engine = ""

    async def lead(self, card: EngineCard, *, seconds: float | None) -> Lead:
        found: Lead = await self._do(work.lead(self._sql, card, self._clock, seconds))
        return found

    async def leave(self, card: EngineCard) -> None:
        self._wake(await self._do(work.leave(self._sql, card.id)))

    async def write(self, change: Change, *, term: int | None = None) -> None:
        self._wake(await self._do(work.write(self._sql, self._clock, change, term)))

    async def agenda(self, now: float, *, limit: int) -> Agenda:
        found: Agenda = await self._look(work.agenda(self._sql, now, limit))
        return found

    async def jobs(self, name: str | None = None) -> list[JobState]:
        found: list[JobState] = await self._look(work.jobs(self._sql, name))
        return found

    async def owed(self, *, limit: int) -> list[tuple[Firing, Job]]:
        found: list[tuple[Firing, Job]] = await self._look(work.owed(self._sql, limit))
        return found

    async def history(self, name: str | None, *, limit: int) -> list[Firing]:
        found: list[Firing] = await self._look(work.history(self._sql, name, limit))
        return found

    def listen(self, engine: str, changed: Callable[[], None] | None) -> None:
        self._engine = engine
        if changed is None:
            self._nudges.close()
        else:
            self._nudges.listen(_name(engine), changed)

    def _wake(self, engines: Sequence[str]) -> None:
        self._nudges.send([_name(one) for one in engines if one != self._engine])

    def _clock(self) -> float:
        return self._store._clock()

    async def _do(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._store._do(job)

    async def _look(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._store._read(job)


def _name(engine: str) -> str:
    return f"{engine}/schedule"


class MemorySchedules(SqliteSchedules):
    """The same tables in memory: kept for as long as the store object lives."""

    def __init__(self) -> None:
        self._sql = named("sqlite", "schedules")
        self._connection = sqlite3.connect(":memory:", autocommit=True, check_same_thread=False)
        self._connection.executescript(script("sqlite", "0002_schedules"))
        finalize(self, self._connection.close)
        self._listeners: dict[str, Callable[[], None]] = {}

    def listen(self, engine: str, changed: Callable[[], None] | None) -> None:
        if changed is None:
            self._listeners.pop(engine, None)
        else:
            self._listeners[engine] = changed

    def _wake(self, engines: Sequence[str]) -> None:
        for changed in list(self._listeners.values()):
            asyncio.get_running_loop().call_soon(changed)

    def _clock(self) -> float:
        return time.monotonic()

    async def _do(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        self._connection.execute("begin")
        try:
            answer = job(self._connection)
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")
        return answer

    _look = _do


_LOCK = threading.Lock()
_in_memory: WeakKeyDictionary[MemoryStore, MemorySchedules] = WeakKeyDictionary()
"""Guarded by `_LOCK`: a store has one book, whichever thread asks first."""


def schedules_of(store: Store) -> Any:
    """The book that belongs to a store, as `laneway.engine.schedule_ports.ScheduleBook` describes it.

    Raises:
        SchedulesUnsupported: the store has none.
    """
    if isinstance(store, SqliteStore):
        return SqliteSchedules(store)
    if isinstance(store, MemoryStore):
        with _LOCK:
            found = _in_memory.get(store)
            if found is None:
                found = _in_memory[store] = MemorySchedules()
            return found
    if type(store).__name__ == "PostgresStore":
        # Only who has such a store has the driver that this needs.
        from laneway.stores._postgres_schedules import PostgresSchedules  # noqa: PLC0415

        return PostgresSchedules(cast("Any", store))
    raise SchedulesUnsupported(store=store.url)
