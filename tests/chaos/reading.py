"""Looks into a store's records behind its back, as an auditor would."""

import sqlite3
from typing import Any

import psycopg

__all__ = ["committed_steps", "problems"]


def committed_steps(store: str) -> dict[tuple[str, str, int], Any]:
    """(run key, task, item) of every step that is committed as succeeded, with what it produced."""
    rows = _query(
        store,
        "select coalesce(above.key || '-inner', run.key), step.task, step.item, step.patch, step.attempt"
        " from step join run on run.id = step.run left join run as above on above.id = run.parent"
        " where step.status = 'succeeded'",
    )
    return {(key, task, item): (bytes(patch or b""), attempt) for key, task, item, patch, attempt in rows}


def problems(store: str) -> list[str]:
    """What must not be in the store of a workload that is over."""
    found: list[str] = []
    for status, number in _query(store, "select status, count(*) from run group by status"):
        if status != "succeeded":
            found.append(f"{number} runs are {status}")
    for (number,) in _query(store, "select count(*) from step where status not in ('succeeded')"):
        if number:
            found.append(f"{number} steps did not succeed")
    doubled = _query(
        store,
        "select count(*) from (select run, task, item from event where kind = 'step_succeeded'"
        " group by run, task, item having count(*) > 1) as doubled",
    )
    if doubled != [(0,)]:
        found.append(f"{doubled} steps have more than one end in the events")
    if store.startswith("sqlite") and _query(store, "pragma integrity_check") != [("ok",)]:
        found.append("the file is damaged")
    return found


def _query(store: str, text: str) -> list[tuple[Any, ...]]:
    if store.startswith("postgresql"):
        return _ask_postgres(store, text)
    connection = sqlite3.connect(store.removeprefix("sqlite:///"), timeout=10)
    try:
        return connection.execute(text).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # killed before the schema was there
            return []
        raise
    finally:
        connection.close()


def _ask_postgres(store: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(store, options="-c search_path=laneway") as connection:
        try:
            return connection.execute(text.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []
