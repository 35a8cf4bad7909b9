"""What a Postgres store does in a transaction of its own: claims, leases, wishes, documents, retention."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from laneway._core.errors import RunNotFound, StoreFenced
from laneway._core.records import ENDED, SavedRun, Wish
from laneway.ports import EngineCard, Standing
from laneway.stores._postgres_artifacts import swept
from laneway.stores._postgres_link import ALL, Connection, channel
from laneway.stores._postgres_reads import cards, saved
from laneway.stores._processes import is_gone
from laneway.stores._rows import run_id

__all__ = ["ask", "claim", "keep", "leave", "renew", "sweep"]

type Statements = Mapping[str, Any]
type Work = Callable[[Connection], Awaitable[Any]]


def leave(sql: Statements, engine: str) -> Work:
    """Free the engine's runs and forget it, and tell the others if there were any."""

    async def job(connection: Connection) -> None:
        freed = (await connection.execute(sql["run_free"], ([engine],))).rowcount
        await connection.execute(sql["engine_forget"], ([engine],))
        if freed:
            await connection.execute(sql["notify"], (ALL,))

    return job


def claim(
    sql: Statements,
    url: str,
    card: EngineCard,
    run: bytes | None,
    workflows: Sequence[str],
    limit: int,
    *,
    reopen: bool,
) -> Work:
    """Take runs over that nobody drives."""

    async def job(connection: Connection) -> list[SavedRun]:
        if (await (await connection.execute(sql["engine_share"], (card.id,))).fetchone()) is None:
            raise StoreFenced(engine=card.id, store=url)
        gone = await _gone(connection, sql, card)
        if run is None:
            rows = await connection.execute(
                sql["runs_claimable"], (list(workflows), gone, time.time(), limit)
            )
            found = [row[0] for row in await rows.fetchall()]
        else:
            found = [run] if await _is_free(connection, sql, run, [*gone, card.id], reopen=reopen) else []
        if found:
            await connection.execute(sql["run_take"], (card.id, found))
        taken = [await saved(connection, sql, one) for one in found]
        if gone:
            await connection.execute(sql["run_free"], (gone,))
            await connection.execute(sql["engine_forget"], (gone,))
        return taken

    return job


async def _is_free(
    connection: Connection, sql: Statements, run: bytes, gone: Sequence[str], *, reopen: bool
) -> bool:
    found = await (await connection.execute(sql["run_lock"], (run,))).fetchone()
    if found is None:
        return False
    status, engine = found
    return (engine is None or engine in gone) and (reopen or status not in ENDED)


async def _gone(connection: Connection, sql: Statements, card: EngineCard) -> list[str]:
    """Engines whose lease ended, or whose process is seen to be gone. Their rows are locked: they cannot commit."""
    others = [(one, left) for one, left in await cards(connection, sql["engines"]) if one.id != card.id]
    seen = [one.id for one, _ in others if is_gone(one, beside=card)]
    suspects = [one.id for one, left in others if left < 0 or one.id in seen]
    if not suspects:
        return []
    rows = await connection.execute(sql["engine_gone_now"], (suspects, seen))
    return [row[0] for row in await rows.fetchall()]


def renew(sql: Statements, url: str, engine: str, lease: float) -> Work:
    """Extend the lease and collect the wishes."""

    async def job(connection: Connection) -> list[Wish]:
        if (await connection.execute(sql["engine_renew"], (lease, engine))).rowcount == 0:
            raise StoreFenced(engine=engine, store=url)
        rows = await (await connection.execute(sql["wishes_take"], (engine,))).fetchall()
        rows.sort(key=lambda row: row[4])
        return [Wish(str(UUID(bytes=run)), wish, name, value) for run, wish, name, value, _ in rows]

    return job


def ask(sql: Statements, url: str, card: EngineCard, asked: Wish) -> Work:
    """Leave a wish and wake whom it is for."""

    async def job(connection: Connection) -> Standing:
        try:
            run = run_id(asked.run)
        except ValueError:
            run = b""
        found = await (await connection.execute(sql["run_standing"], (run,))).fetchone()
        if found is None:
            raise RunNotFound(run=asked.run, store=url)
        status, engine = found
        if status in ENDED:
            return "ended"
        now = time.time()
        if asked.wish == "signal":
            await connection.execute(sql["signal_write"], (run, asked.name, asked.value or b"null", now))
        if engine is not None and engine not in await _gone(connection, sql, card):
            await connection.execute(sql["wish_write"], (run, asked.wish, asked.name, asked.value, now))
            await connection.execute(sql["notify"], (channel(engine),))
            return "driven"
        if asked.wish == "signal":
            await connection.execute(sql["run_wake"], (run,))
        await connection.execute(sql["notify"], (ALL,))
        return "free"

    return job


def keep(sql: Statements, kind: str, name: str, body: bytes | None, version: int | None) -> Work:
    """Write or remove a document if it still has the version."""

    async def job(connection: Connection) -> int | None:
        row = await (await connection.execute(sql["document_lock"], (kind, name))).fetchone()
        current = 0 if row is None else int(row[0])
        if version is not None and version != current:
            return None
        if body is None:
            await connection.execute(sql["document_remove"], (kind, name))
            return 0
        if current == 0:
            if (await connection.execute(sql["document_insert"], (kind, name, body))).rowcount:
                return 1
            return None if version == 0 else await job(connection)  # somebody made it in between
        await connection.execute(sql["document_update"], (body, kind, name))
        return current + 1

    return job


def sweep(sql: Statements, before: float, limit: int) -> Work:
    """Delete old runs with all that belongs to them."""

    async def job(connection: Connection) -> dict[str, int]:
        rows = await (await connection.execute(sql["sweep_find"], (before, limit))).fetchall()
        runs = [row[0] for row in rows]
        removed = await swept(connection, runs, last=len(runs) < limit)
        counts = {"runs": len(runs), "steps": 0, "events": 0, **removed}
        if not runs:
            return counts
        for table in ("wish", "signal"):
            await connection.execute(sql[f"sweep_{table}"], (runs,))
        counts["steps"] = (await connection.execute(sql["sweep_step"], (runs,))).rowcount
        counts["events"] = (await connection.execute(sql["sweep_event"], (runs,))).rowcount
        await connection.execute(sql["sweep_run"], (runs,))
        return counts

    return job
