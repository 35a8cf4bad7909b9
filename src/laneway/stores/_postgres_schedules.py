"""The book of schedules beside a Postgres store: in the same database, for engines of several hosts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from laneway import aio
from laneway._core.errors import StoreUnavailable
from laneway._core.jobs import Agenda, Change, Firing, Job, JobState, Lead, Move, NotLeading
from laneway.ports import EngineCard
from laneway.stores._postgres_link import Connection
from laneway.stores._processes import is_gone
from laneway.stores._schedule_rows import (
    HURRY,
    KEPT,
    decoded,
    defined,
    firing_of,
    moment,
    seconds_of,
    settled,
    state_of,
)
from laneway.stores.postgres import PostgresStore
from laneway.stores.sql import named

__all__ = ["PostgresSchedules"]

log = logging.getLogger("laneway.stores")

type Work[T] = Callable[[Connection], Awaitable[T]]

_CHANNEL = "laneway_schedules"
_PAUSE = 1.0
_EVER = 1e10


class PostgresSchedules:
    """ScheduleBook port on a Postgres store; leases are by the server's clock, the server wakes those who listen."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._sql: dict[str, Any] = named("postgres", "schedules")
        self._listening: asyncio.Task[None] | None = None

    async def lead(self, card: EngineCard, *, seconds: float | None) -> Lead:
        sql, expires = self._sql, _EVER if seconds is None else seconds

        async def job(connection: Connection) -> Lead:
            await connection.execute(sql["engine_add"], (card.id, card.host, card.pid, card.started))
            row = await (await connection.execute(sql["lead"])).fetchone()
            term, engine, left = row if row is not None else (0, None, None)
            if engine == card.id:
                await connection.execute(sql["lead_extend"], (expires, card.id))
                return Lead(True, term, expires)
            found = await (await connection.execute(sql["lead_card"], (engine,))).fetchone()
            leader = None if found is None else EngineCard(*found)
            left = -1.0 if left is None else float(left)
            if leader is not None and left >= 0 and not is_gone(leader, beside=card):
                return Lead(False, term, left, leader.host, leader.pid)
            if engine is not None:
                await connection.execute(sql["engine_remove"], (engine,))
            await connection.execute(sql["lead_take"], (card.id, expires))
            return Lead(True, term + 1, expires)

        return await self._do(job)

    async def leave(self, card: EngineCard) -> None:
        async def job(connection: Connection) -> None:
            await connection.execute(self._sql["lead_leave"], (card.id,))
            await connection.execute(self._sql["engine_remove"], (card.id,))
            await connection.execute(self._sql["notify"], (_CHANNEL,))

        await self._do(job)

    async def write(self, change: Change, *, term: int | None = None) -> None:
        sql = self._sql

        async def job(connection: Connection) -> None:
            # Who leads is looked at or told first: whoever had a job's row and then waited for that could wait for a
            # leader who wants the job's row.
            if term is None:
                await connection.execute(sql["lead_shorten"], (HURRY,))
                await connection.execute(sql["notify"], (_CHANNEL,))
            else:
                row = await (await connection.execute(sql["term"])).fetchone()
                if row is None or row[0] != term:
                    raise NotLeading(term=term)
            for state, reset in change.define:
                await connection.execute(sql["define"], defined(state, reset=reset))
            for name in change.forget:
                await connection.execute(sql["forget"], (name,))
                await connection.execute(sql["forget_firings"], (name,))
            for move in change.moves:
                await self._move(connection, move)
            for one in change.owe:
                row_ = {"name": one.name, "due": one.due.timestamp(), "alone": False, "why": one.why}
                await connection.execute(sql["fire"], row_)
            for one in change.settle:
                await self._settle(connection, one)

        await self._do(job)

    async def _move(self, connection: Connection, move: Move) -> None:
        row = {
            "name": move.name,
            "seen": seconds_of(move.seen),
            "due": seconds_of(move.due),
            "start": seconds_of(move.start),
            "missed": move.missed,
        }
        if (await connection.execute(self._sql["move"], row)).rowcount == 1:
            for due in move.run:
                fired = {"name": move.name, "due": due.timestamp(), "alone": move.alone, "why": "due"}
                await connection.execute(self._sql["fire"], fired)

    async def _settle(self, connection: Connection, one: Firing) -> None:
        sql, row = self._sql, {**settled(one), "keep": KEPT}
        if (await connection.execute(sql["settle"], row)).rowcount == 0:
            return
        await connection.execute(sql["settle_job"], row)
        if one.ended is None:
            return
        await connection.execute(sql["prune"], row)
        found = await (await connection.execute(sql["job"], row)).fetchone()
        is_passing = found is not None and decoded(found[0]).passing
        if is_passing and (await connection.execute(sql["pass_away"], row)).rowcount:
            await connection.execute(sql["forget_firings"], (one.name,))

    async def agenda(self, now: float, *, limit: int) -> Agenda:
        async def job(connection: Connection) -> Agenda:
            due = await (await connection.execute(self._sql["agenda"], (now, limit))).fetchall()
            following = await (await connection.execute(self._sql["agenda_next"], (now,))).fetchone()
            return Agenda([state_of(row) for row in due], moment(None if following is None else following[0]))

        return await self._do(job)

    async def jobs(self, name: str | None = None) -> list[JobState]:
        rows = await self._rows("jobs" if name is None else "job", {"name": name})
        return [state_of(row) for row in rows]

    async def owed(self, *, limit: int) -> list[tuple[Firing, Job]]:
        return [(firing_of(row), decoded(row[8])) for row in await self._rows("owed", (limit,))]

    async def history(self, name: str | None, *, limit: int) -> list[Firing]:
        if name is None:
            return [firing_of(row) for row in await self._rows("history", (limit,))]
        return [firing_of(row) for row in await self._rows("history_of", (name, limit))]

    def listen(self, engine: str, changed: Callable[[], None] | None) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        if changed is not None:
            self._listening = aio.create_task(self._listen(changed), name="laneway schedule listener")

    async def _listen(self, changed: Callable[[], None]) -> None:
        while True:
            try:
                async with await self._store._link.connect("schedule listener") as connection:
                    await connection.execute(f"listen {_CHANNEL}")
                    changed()
                    async for _ in connection.notifies():
                        changed()
            except (psycopg.Error, OSError, StoreUnavailable) as error:
                log.warning("not listening to %s: %s", self._store.url, error)
            await asyncio.sleep(_PAUSE)

    async def _rows(self, statement: str, arguments: Any) -> list[tuple[Any, ...]]:
        async def job(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(self._sql[statement], arguments)).fetchall()

        return await self._do(job)

    async def _do[T](self, work: Work[T]) -> T:
        answer: T = await self._store._live().do(work)
        return answer
