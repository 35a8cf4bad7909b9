"""The questions a SQLite store answers, each on a reading connection."""

import sqlite3
from collections.abc import Callable
from typing import Any

from laneway._core.errors import RunNotFound
from laneway._core.records import RunRecord, SavedRun, StepRow
from laneway.stores._rows import event_of, run_answer, run_id, step_answer

__all__ = ["QUERIES", "saved"]

type Statements = dict[str, str]


def saved(connection: sqlite3.Connection, sql: Statements, run: bytes) -> SavedRun:
    """A run and its steps as records."""
    record = RunRecord(*connection.execute(sql["run_by_id"], (run,)).fetchone())
    return SavedRun(record, [StepRow(*row) for row in connection.execute(sql["steps_of"], (run,))])


def _record(connection: sqlite3.Connection, sql: Statements, url: str, run: str) -> RunRecord:
    try:
        row = connection.execute(sql["run_by_id"], (run_id(run),)).fetchone()
    except ValueError:
        row = None
    if row is None:
        raise RunNotFound(run=run, store=url)
    return RunRecord(*row)


def _runs(
    connection: sqlite3.Connection,
    sql: Statements,
    url: str,
    *,
    workflow: str | None = None,
    status: str | None = None,
    limit: int = 50,
    key: str | None = None,
) -> list[dict[str, Any]]:
    rows = connection.execute(sql["runs"], {"workflow": workflow, "status": status, "key": key, "limit": limit})
    return [run_answer(RunRecord(*row)) for row in rows]


def _run(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> list[dict[str, Any]]:
    return [run_answer(_record(connection, sql, url, run))]


def _steps(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> list[dict[str, Any]]:
    record = _record(connection, sql, url, run)
    return [step_answer(row) for row in saved(connection, sql, record.run).steps]


def _saved(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> list[dict[str, Any]]:
    return [{"saved": saved(connection, sql, _record(connection, sql, url, run).run)}]


def _events(
    connection: sqlite3.Connection,
    sql: Statements,
    url: str,
    *,
    run: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    arguments = {"run": None if run is None else run_id(run), "after": after, "limit": limit}
    rows = connection.execute(sql["events_of" if run else "events"], arguments)
    return [{"event": event_of(*row)} for row in rows]


def _counts(connection: sqlite3.Connection, sql: Statements, url: str) -> list[dict[str, Any]]:
    return [{"status": status, "runs": number} for status, number in connection.execute(sql["counts"])]


QUERIES: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "runs": _runs,
    "run": _run,
    "steps": _steps,
    "saved": _saved,
    "events": _events,
    "counts": _counts,
}
