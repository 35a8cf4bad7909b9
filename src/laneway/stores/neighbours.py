"""What engines of one store can tell each other, and of each other: the time, who is gone, a call. For shared pools."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from laneway.ports import EngineCard, Store
from laneway.stores._processes import booted_apart, is_gone
from laneway.stores._sqlite_nudges import Nudges
from laneway.stores.memory import MemoryStore
from laneway.stores.sql import named
from laneway.stores.sqlite import SqliteStore, boot_clock

__all__ = ["LocalCalls", "calls_of", "clock_of", "gone_beside"]

_FRESH = 60.0
"""Seconds for which a server's clock is taken to run like this host's."""


def gone_beside(store: Store, card: EngineCard) -> Callable[[EngineCard], bool]:
    """Tells whether another engine of the store is surely over, as this one sees it."""
    is_local = isinstance(store, SqliteStore | MemoryStore)

    def is_over(other: EngineCard) -> bool:
        return is_gone(other, beside=card) or (is_local and booted_apart(other, beside=card))

    return is_over


def clock_of(store: Store) -> Callable[[], Awaitable[float]]:
    """Tells the store's time in seconds, from a moment of its own; alike for all engines of the store."""
    if type(store).__name__ == "PostgresStore":
        return _ServerClock(store).now
    local = store._clock if isinstance(store, SqliteStore | MemoryStore) else time.time

    async def now() -> float:
        return local()

    return now


def calls_of(store: Store) -> LocalCalls | _ServerCalls:
    """How engines of the store call each other when something of a shared pool was given back."""
    return _ServerCalls(store) if type(store).__name__ == "PostgresStore" else LocalCalls()


class LocalCalls:
    """PoolCalls port for engines of one host: a datagram to a name of each engine, where the system has such names."""

    def __init__(self) -> None:
        self._nudges = Nudges()

    def listen(self, engine: str, called: Callable[[], None] | None) -> None:
        self._nudges.listen(_name(engine), called)

    async def call(self, engines: Collection[str]) -> None:
        self._nudges.send([_name(one) for one in engines])

    def reaches(self, engine: str) -> bool:
        return self._nudges.reaches(_name(engine))


def _name(engine: str) -> str:
    return f"{engine}/pools"


class _ServerCalls:
    """PoolCalls port for engines of one server, which passes calls on."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def listen(self, engine: str, called: Callable[[], None] | None) -> None:
        self._store.pools_called = called

    async def call(self, engines: Collection[str]) -> None:
        await self._store.call_pools(engines)

    def reaches(self, engine: str) -> bool:
        return True


class _ServerClock:
    """A server's clock: asked once a minute, and told in between by how far this host's own has gone since."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._sql = named("postgres", "schedules")["time"]
        self._offset = 0.0
        self._asked = float("-inf")

    async def now(self) -> float:
        before = boot_clock()
        if before - self._asked < _FRESH:
            return before + self._offset
        server = await self._store._live().do(self._server_time)
        after = boot_clock()
        self._offset, self._asked = server - (before + after) / 2, after
        return after + self._offset

    async def _server_time(self, connection: Any) -> float:
        ((now,),) = await (await connection.execute(self._sql)).fetchall()
        return float(now)
