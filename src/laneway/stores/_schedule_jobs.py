"""What the schedule book does inside a SQLite transaction; shared by the SQLite store and the memory store."""

import sqlite3
from collections.abc import Callable, Mapping

from laneway._core.jobs import Agenda, Change, Firing, Job, JobState, Lead, Move, NotLeading
from laneway.ports import EngineCard
from laneway.stores._processes import booted_apart, is_gone
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

__all__ = ["agenda", "history", "jobs", "lead", "leave", "owed", "write"]

type Statements = Mapping[str, str]
type Clock = Callable[[], float]
type Do[T] = Callable[[sqlite3.Connection], T]

_EVER = 1e18


def lead(sql: Statements, card: EngineCard, clock: Clock, seconds: float | None) -> Do[Lead]:
    """Take or extend the lead, or say who has it."""

    def job(connection: sqlite3.Connection) -> Lead:
        now = clock()
        expires = now + (_EVER if seconds is None else seconds)
        connection.execute(sql["engine_add"], (card.id, card.host, card.pid, card.started))
        term, engine, until = connection.execute(sql["lead"]).fetchone()
        if engine == card.id:
            connection.execute(sql["lead_extend"], (expires, card.id))
            return Lead(True, term, expires - now)
        leader = None if engine is None else _card(connection, sql, engine)
        if leader is not None and until >= now and not _is_gone(leader, card):
            return Lead(False, term, until - now, leader.host, leader.pid)
        if engine is not None:
            connection.execute(sql["engine_remove"], (engine,))
        for other in [EngineCard(*row) for row in connection.execute(sql["engines"]).fetchall()]:
            if other.id != card.id and _is_gone(other, card):
                connection.execute(sql["engine_remove"], (other.id,))
        connection.execute(sql["lead_take"], (card.id, expires))
        return Lead(True, term + 1, expires - now)

    return job


def _card(connection: sqlite3.Connection, sql: Statements, engine: str) -> EngineCard | None:
    row = connection.execute(sql["lead_card"], (engine,)).fetchone()
    return None if row is None else EngineCard(*row)


def _is_gone(one: EngineCard, beside: EngineCard) -> bool:
    return is_gone(one, beside=beside) or booted_apart(one, beside=beside)


def leave(sql: Statements, engine: str) -> Do[list[str]]:
    """Give the lead up; answers who may take it."""

    def job(connection: sqlite3.Connection) -> list[str]:
        connection.execute(sql["lead_leave"], (engine,))
        connection.execute(sql["engine_remove"], (engine,))
        return _engines(connection, sql)

    return job


def _engines(connection: sqlite3.Connection, sql: Statements) -> list[str]:
    return [row[0] for row in connection.execute(sql["engines"])]


def write(sql: Statements, clock: Clock, change: Change, term: int | None) -> Do[list[str]]:
    """Write a change; answers who should look, if it came from somebody who does not lead."""

    def job(connection: sqlite3.Connection) -> list[str]:
        if term is not None and connection.execute(sql["lead"]).fetchone()[0] != term:
            raise NotLeading(term=term)
        for state, reset in change.define:
            connection.execute(sql["define"], defined(state, reset=reset))
        for name in change.forget:
            connection.execute(sql["forget"], (name,))
            connection.execute(sql["forget_firings"], (name,))
        for move in change.moves:
            _move(connection, sql, move)
        for one in change.owe:
            row = {"name": one.name, "due": one.due.timestamp(), "alone": False, "why": one.why}
            connection.execute(sql["fire"], row)
        for one in change.settle:
            _settle(connection, sql, one)
        if term is not None:
            return []
        connection.execute(sql["lead_shorten"], (clock() + HURRY,))
        return _engines(connection, sql)

    return job


def _move(connection: sqlite3.Connection, sql: Statements, move: Move) -> None:
    row = {
        "name": move.name,
        "seen": seconds_of(move.seen),
        "due": seconds_of(move.due),
        "start": seconds_of(move.start),
        "missed": move.missed,
    }
    if connection.execute(sql["move"], row).rowcount == 1:
        for due in move.run:
            given = {"name": move.name, "due": due.timestamp(), "alone": move.alone, "why": "due"}
            connection.execute(sql["fire"], given)


def _settle(connection: sqlite3.Connection, sql: Statements, one: Firing) -> None:
    row = {**settled(one), "keep": KEPT}
    if connection.execute(sql["settle"], row).rowcount == 0:
        return
    connection.execute(sql["settle_job"], row)
    if one.ended is None:
        return
    connection.execute(sql["prune"], row)
    found = connection.execute(sql["job"], row).fetchone()
    if found is not None and decoded(found[0]).passing and connection.execute(sql["pass_away"], row).rowcount:
        connection.execute(sql["forget_firings"], (one.name,))


def agenda(sql: Statements, now: float, limit: int) -> Do[Agenda]:
    """What is due, and the next start after that."""

    def job(connection: sqlite3.Connection) -> Agenda:
        due = [state_of(row) for row in connection.execute(sql["agenda"], (now, limit))]
        following = connection.execute(sql["agenda_next"], (now,)).fetchone()[0]
        return Agenda(due, moment(following))

    return job


def jobs(sql: Statements, name: str | None) -> Do[list[JobState]]:
    """All jobs, or one."""
    statement = sql["jobs" if name is None else "job"]
    return lambda connection: [state_of(row) for row in connection.execute(statement, {"name": name})]


def owed(sql: Statements, limit: int) -> Do[list[tuple[Firing, Job]]]:
    """Open firings with their jobs."""
    return lambda connection: [
        (firing_of(row), decoded(row[8])) for row in connection.execute(sql["owed"], (limit,))
    ]


def history(sql: Statements, name: str | None, limit: int) -> Do[list[Firing]]:
    """The latest firings."""
    if name is None:
        return lambda connection: [firing_of(row) for row in connection.execute(sql["history"], (limit,))]
    return lambda connection: [firing_of(row) for row in connection.execute(sql["history_of"], (name, limit))]
