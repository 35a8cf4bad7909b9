"""What a SQLite store does in a transaction of its own: claims, leases, wishes, documents, retention, looks ahead."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from laneway._core.errors import RunNotFound, StoreFenced
from laneway._core.records import ENDED, SavedRun, Wish
from laneway.ports import EngineCard, Standing
from laneway.stores._processes import booted_apart, is_gone
from laneway.stores._rows import run_id
from laneway.stores._sqlite_artifacts import Files
from laneway.stores._sqlite_reads import saved
from laneway.stores._sqlite_writer import Job

__all__ = ["LOOKS", "ask", "claim", "keep", "leave", "renew", "sweep"]

type Statements = Mapping[str, str]
type Clock = Callable[[], float]

_FREED_BYTES = 4 * 1024 * 1024
"""How much of the file one sweep gives back, so that writing never waits long for it."""


def leave(sql: Statements, engine: str) -> Job:
    """Free the engine's runs and forget it; answers the engines that may want to know."""

    def job(connection: sqlite3.Connection) -> list[str]:
        freed = connection.execute(sql["run_free"], (engine,)).rowcount
        connection.execute(sql["engine_forget"], (engine,))
        return _others(connection, sql, engine) if freed else []

    return job


def claim(
    sql: Statements,
    url: str,
    card: EngineCard,
    clock: Clock,
    run: bytes | None,
    workflows: Sequence[str],
    limit: int,
    *,
    reopen: bool,
) -> Job:
    """Take runs over that nobody drives."""

    def job(connection: sqlite3.Connection) -> list[SavedRun]:
        now = clock()
        gone = _gone(connection, sql, card, now)
        if run is None:
            names, dead = json.dumps(list(workflows)), json.dumps(gone)
            wanted = {"workflows": names, "dead": dead, "now": time.time(), "limit": limit}
            rows = connection.execute(sql["runs_claimable"], wanted).fetchall()
            found = [row[0] for row in rows]
        else:
            found = [run] if _is_free(connection, sql, run, [*gone, card.id], reopen=reopen) else []
        _hold_lease(connection, sql, url, card.id, now)
        taken: list[SavedRun] = []
        for one in found:
            connection.execute(sql["run_take"], (card.id, one))
            taken.append(saved(connection, sql, one))
        for engine in gone:
            connection.execute(sql["run_free"], (engine,))
            connection.execute(sql["engine_forget"], (engine,))
        return taken

    return job


def _is_free(
    connection: sqlite3.Connection, sql: Statements, run: bytes, gone: Sequence[str], *, reopen: bool
) -> bool:
    found = connection.execute(sql["run_status"], (run,)).fetchone()
    if found is None:
        return False
    status, engine = found
    return (engine is None or engine in gone) and (reopen or status not in ENDED)


def _hold_lease(connection: sqlite3.Connection, sql: Statements, url: str, engine: str, now: float) -> None:
    found = connection.execute(sql["engine_expires"], (engine,)).fetchone()
    if found is None:
        raise StoreFenced(engine=engine, store=url)
    if found[0] < now + 1:
        connection.execute(sql["engine_renew"], (now + 5.0, engine))


def _gone(connection: sqlite3.Connection, sql: Statements, card: EngineCard, now: float) -> list[str]:
    """Engines whose lease ended, or whose process is seen to be gone."""
    return [
        one.id
        for one, expires in _cards(connection.execute(sql["engines"]).fetchall())
        if one.id != card.id and _is_dead(one, expires, card, now)
    ]


def _cards(rows: Iterable[Sequence[Any]]) -> list[tuple[EngineCard, float]]:
    return [(EngineCard(*row[:4]), row[4]) for row in rows]


def _is_dead(one: EngineCard, expires: float, card: EngineCard, now: float) -> bool:
    return expires < now or is_gone(one, beside=card) or booted_apart(one, beside=card)


def _others(connection: sqlite3.Connection, sql: Statements, engine: str) -> list[str]:
    return [row[0] for row in connection.execute(sql["engines"]) if row[0] != engine]


def renew(sql: Statements, url: str, engine: str, clock: Clock, lease: float) -> Job:
    """Extend the lease and collect the wishes."""

    def job(connection: sqlite3.Connection) -> list[Wish]:
        if connection.execute(sql["engine_renew"], (clock() + lease, engine)).rowcount == 0:
            raise StoreFenced(engine=engine, store=url)
        rows = connection.execute(sql["wishes_of"], (engine,)).fetchall()
        for row in rows:
            connection.execute(sql["wish_done"], row[:3])
        return [Wish(str(UUID(bytes=run)), wish, name, value) for run, wish, name, value in rows]

    return job


def ask(sql: Statements, url: str, card: EngineCard, clock: Clock, asked: Wish) -> Job:
    """Leave a wish; answers how the run stands and whom to nudge."""

    def job(connection: sqlite3.Connection) -> tuple[Standing, list[str]]:
        try:
            run = run_id(asked.run)
        except ValueError:
            run = b""
        found = connection.execute(sql["run_status"], (run,)).fetchone()
        if found is None:
            raise RunNotFound(run=asked.run, store=url)
        status, engine = found
        if status in ENDED:
            return "ended", []
        now = time.time()
        if asked.wish == "signal":
            connection.execute(sql["signal_write"], (run, asked.name, asked.value or b"null", now))
        driven = engine is not None and engine not in _gone(connection, sql, card, clock())
        if driven:
            connection.execute(sql["wish_write"], (run, asked.wish, asked.name, asked.value, now))
            return "driven", [str(engine)]
        if asked.wish == "signal":
            connection.execute(sql["run_wake"], (run,))
        return "free", _others(connection, sql, card.id)

    return job


def keep(sql: Statements, kind: str, name: str, body: bytes | None, version: int | None) -> Job:
    """Write or remove a document if it still has the version."""

    def job(connection: sqlite3.Connection) -> int | None:
        found = connection.execute(sql["document_version"], (kind, name)).fetchone()
        current = 0 if found is None else found[0]
        if version is not None and version != current:
            return None
        if body is None:
            connection.execute(sql["document_remove"], (kind, name))
            return 0
        connection.execute(sql["document_write"], (kind, name, current + 1, body))
        return int(current) + 1

    return job


def sweep(sql: Statements, files: Files, before: float, limit: int) -> Job:
    """Delete old runs with all that belongs to them, and give some of the file back."""

    def job(connection: sqlite3.Connection) -> dict[str, int]:
        runs = connection.execute(sql["sweep_find"], (before, limit)).fetchall()
        used = files.released(connection, runs)
        for table in ("tag", "wish", "signal", "artifact_use"):
            connection.executemany(sql[f"sweep_{table}"], runs)
        removed = files.remove(connection, used)
        steps = connection.executemany(sql["sweep_step"], runs).rowcount if runs else 0
        events = _sweep_events(connection, sql, runs) if runs else 0
        connection.executemany(sql["sweep_run"], runs)
        page = connection.execute("pragma page_size").fetchone()[0]
        connection.execute(f"pragma incremental_vacuum({_FREED_BYTES // page})").fetchall()
        return {"runs": len(runs), "steps": max(steps, 0), "events": max(events, 0), **removed}

    return job


def _sweep_events(connection: sqlite3.Connection, sql: Statements, runs: list[tuple[bytes]]) -> int:
    last, run = connection.execute(sql["sweep_last"]).fetchone() or (0, b"")
    kept = 1 if (run,) in runs else 0
    if kept:
        connection.execute(sql["sweep_keep_number"], (last,))
    connection.execute(sql["sweep_old_number"], (last,))
    return kept + connection.executemany(sql["sweep_event"], runs).rowcount


def _agenda(sql: Statements, card: EngineCard, clock: Clock, *, workflows: Sequence[str]) -> Job:
    names = json.dumps(list(workflows))

    def job(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        now = clock()
        due = connection.execute(sql["agenda_due"], (names,)).fetchone()[0]
        free = connection.execute(sql["agenda_free"], (names,)).fetchone() is not None
        leases = [
            0.0 if _is_dead(one, expires, card, now) else expires - now
            for one, expires in _cards(connection.execute(sql["agenda_leases"], (card.id, names)))
        ]
        return [{"due": due, "free": free, "leases": min(leases, default=None)}]

    return job


def _engines(sql: Statements, card: EngineCard, clock: Clock) -> Job:
    def job(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        now = clock()
        return [
            {
                "id": one.id,
                "host": one.host,
                "pid": one.pid,
                "left": expires - now,
                "gone": one.id != card.id and _is_dead(one, expires, card, now),
            }
            for one, expires in _cards(connection.execute(sql["engines"]))
        ]

    return job


LOOKS: dict[str, Callable[..., Job]] = {"agenda": _agenda, "engines": _engines}
"""Questions that need the store's clock."""
