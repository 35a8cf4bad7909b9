"""The questions a SQLite store answers, each on a reading connection."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from laneway._core.errors import RunNotFound
from laneway._core.records import RunRecord, SavedRun, Signal, StepRow
from laneway.stores._rows import (
    event_of,
    first_id,
    like_pattern,
    run_answer,
    run_id,
    signal_answer,
    step_answer,
)
from laneway.stores._sqlite_rows import record_of

__all__ = ["READS", "saved"]

type Statements = Mapping[str, str]
type Answers = list[dict[str, Any]]


def saved(connection: sqlite3.Connection, sql: Statements, run: bytes) -> SavedRun:
    """A run with its steps and signals as records."""
    record = record_of(connection.execute(sql["run_by_id"], (run,)).fetchone())
    steps = [StepRow(*row) for row in connection.execute(sql["steps_of"], (run,))]
    return SavedRun(record, steps, [Signal(*row) for row in connection.execute(sql["signals_of"], (run,))])


def _record(connection: sqlite3.Connection, sql: Statements, url: str, run: str) -> RunRecord:
    try:
        row = connection.execute(sql["run_by_id"], (run_id(run),)).fetchone()
    except ValueError:
        row = None
    if row is None:
        raise RunNotFound(run=run, store=url)
    return record_of(row)


def _runs(
    connection: sqlite3.Connection,
    sql: Statements,
    url: str,
    *,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    before: str | None = None,
    since: float | None = None,
    search: str | None = None,
    limit: int = 50,
    **matching: str | None,
) -> Answers:
    arguments: dict[str, Any] = {"workflow": None, "status": None, "key": None, **matching, "limit": limit}
    arguments["parent"] = None if parent is None else run_id(parent)
    arguments["before"] = None if before is None else run_id(before)
    arguments["since"] = None if since is None else first_id(since)
    arguments["search"] = None if search is None else like_pattern(search)
    if tags:
        arguments |= {"tags": msgspec.json.encode(tags).decode(), "number": len(tags)}
    rows = connection.execute(sql["runs_tagged" if tags else "runs"], arguments)
    return [run_answer(record_of(row)) for row in rows]


def _run(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> Answers:
    return [run_answer(_record(connection, sql, url, run))]


def _steps(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> Answers:
    record = _record(connection, sql, url, run)
    return [step_answer(row) for row in saved(connection, sql, record.run).steps]


def _saved(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> Answers:
    return [{"saved": saved(connection, sql, _record(connection, sql, url, run).run)}]


def _signals(connection: sqlite3.Connection, sql: Statements, url: str, *, run: str) -> Answers:
    record = _record(connection, sql, url, run)
    return [signal_answer(one) for one in saved(connection, sql, record.run).signals]


def _events(
    connection: sqlite3.Connection,
    sql: Statements,
    url: str,
    *,
    run: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> Answers:
    arguments = {"run": None if run is None else run_id(run), "after": after, "limit": limit}
    rows = connection.execute(sql["events_of" if run else "events"], arguments)
    return [{"event": event_of(*row)} for row in rows]


def _counts(connection: sqlite3.Connection, sql: Statements, url: str) -> Answers:
    return [{"status": status, "runs": number} for status, number in connection.execute(sql["counts"])]


def _sizes(connection: sqlite3.Connection, sql: Statements, url: str) -> Answers:
    names = ("runs", "steps", "events", "artifacts", "artifact_bytes", "documents")
    answer = dict(zip(names, connection.execute(sql["sizes"]).fetchone(), strict=True))
    page, pages, free = (
        connection.execute(f"pragma {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    schema = connection.execute(sql["schema"]).fetchone()[0]
    bytes_of = {"file_bytes": page * pages, "free_bytes": page * free, "wal_bytes": _wal_bytes(connection)}
    return [{**answer, **bytes_of, "schema": schema}]


def _wal_bytes(connection: sqlite3.Connection) -> int:
    """Size of the file that commits go to first."""
    path = connection.execute("pragma database_list").fetchone()[2]
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


def _ages(connection: sqlite3.Connection, sql: Statements, url: str) -> Answers:
    return [dict(zip(("oldest", "oldest_end"), connection.execute(sql["ages"]).fetchone(), strict=True))]


def _documents(
    connection: sqlite3.Connection, sql: Statements, url: str, *, kind: str, name: str | None = None
) -> Answers:
    rows = connection.execute(sql["documents"], {"kind": kind, "name": name})
    return [{"name": name, "version": version, "body": body} for name, version, body in rows]


READS: dict[str, Callable[..., Answers]] = {
    "runs": _runs,
    "run": _run,
    "steps": _steps,
    "saved": _saved,
    "signals": _signals,
    "events": _events,
    "counts": _counts,
    "sizes": _sizes,
    "ages": _ages,
    "documents": _documents,
}
