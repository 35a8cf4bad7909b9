"""What goes into a SQLite write transaction: runs admitted, reopened and ended, steps guarded."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from laneway._core.errors import KeyReused
from laneway._core.records import ENDED, NO_ITEM, Parent, RunRecord, StepRow, Submission, Transition
from laneway.stores._rows import new_record, refused_key
from laneway.stores._trouble import RunElsewhere, StepEnded

__all__ = ["admit", "end", "find_ended", "record_of", "reopen"]

type Statements = Mapping[str, str]
type Waiting = list[tuple[Submission, asyncio.Future[RunRecord]]]


def record_of(row: Sequence[Any]) -> RunRecord:
    """A run from the columns that all statements select in one order."""
    parent = None if row[16] is None else Parent(row[16], row[17], row[18])
    tags = {} if row[20] is None else msgspec.json.decode(row[20], type=dict[str, str])
    return RunRecord._make((*row[:13], False, row[13], row[14], row[15], parent, row[19], tags))


def admit(
    connection: sqlite3.Connection, sql: Statements, engine: str, submissions: Waiting
) -> list[tuple[asyncio.Future[RunRecord], Any]]:
    """Insert new runs, with what to answer once that is committed."""
    if not submissions:
        return []
    answers: list[tuple[asyncio.Future[RunRecord], Any]] = []
    plain: list[tuple[Any, ...]] = []
    inserts: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    for one, future in submissions:
        if one.key is None and one[8:] == _PLAIN:  # as most are: what they do not have need not be bound
            run, workflow, version, reference, context, _, created, fingerprints = one[:8]
            plain.append((run, workflow, version, reference, engine, context, created, fingerprints))
            events.append((run, "run_submitted", None, NO_ITEM, created, None))
            answers.append((future, new_record(one, engine)))
            continue
        known = None if one.key is None else _known(connection, sql, one)
        if known is not None:
            answers.append((future, known))
            continue
        inserts.append(_columns(one, engine))
        events.append((one.run, "run_submitted", None, NO_ITEM, one.created, None))
        answers.append((future, new_record(one, engine)))
        if one.key is not None:  # the next one may ask for the same key
            connection.execute(sql["run_insert"], inserts.pop())
        if one.tags:
            connection.executemany(
                sql["tag_insert"], [(name, value, one.run) for name, value in one.tags.items()]
            )
        if one.steps:
            connection.executemany(sql["step_write"], [row._replace(run=one.run) for row in one.steps])
    connection.executemany(sql["run_insert_plain"], plain)
    if inserts:
        connection.executemany(sql["run_insert"], inserts)
    connection.executemany(sql["event_write"], events)
    return answers


_PLAIN = Submission(b"", "", "", "", b"", None, 0.0, b"")[8:]
"""The rest of a submission that has no more than it must have."""


def _columns(one: Submission, engine: str) -> tuple[Any, ...]:
    parent = (None, None, None) if one.parent is None else one.parent
    return (
        one.run, one.workflow, one.version, one.reference, one.key, engine, one.context, one.created,
        one.fingerprints, one.priority, one.deadline, *parent, one.origin,
        msgspec.json.encode(one.tags) if one.tags else None,
    )  # fmt: skip


def _known(
    connection: sqlite3.Connection, sql: Statements, submission: Submission
) -> RunRecord | KeyReused | None:
    """The run that has the submission's key, the refusal if it is another workflow's, or None."""
    found = connection.execute(sql["run_by_key"], (submission.key,)).fetchone()
    if found is None:
        return None
    record = record_of(found)
    return record if record.workflow == submission.workflow else refused_key(record, submission)


def reopen(connection: sqlite3.Connection, sql: Statements, engine: str, transition: Transition) -> None:
    """Forget steps of a run so that they run again."""
    reopening = transition.reopening
    if reopening is None:
        return
    connection.execute(sql["run_reopen"], (reopening.context, transition.run, engine))
    connection.execute(sql["wishes_done"], (transition.run,))
    forget = [(transition.run, task, item) for task, item in reopening.forget]
    connection.executemany(sql["step_forget"], forget)


def end(
    connection: sqlite3.Connection, sql: Statements, url: str, engine: str, transitions: Sequence[Transition]
) -> bool:
    """Record how runs ended, or that they rest; returns whether other engines should look.

    Raises:
        StoreFenced: one of them is not this engine's any more.
    """
    over: list[tuple[Any, ...]] = []
    changed = 0
    woken = False
    for one in transitions:
        if one.end is None:
            continue
        if one.end.parent is not None and one.end.status in ENDED:
            _wake_parent(connection, sql, one.run, one.end.parent.run, one.end.ended)
            woken = True
        if one.end.status in ENDED:
            over.append((one.end.status, one.end.ended, one.end.context, one.end.error, one.run, engine))
        else:
            rest = {"status": one.end.status, "due": one.end.due, "run": one.run, "engine": engine}
            changed += connection.execute(sql["run_rest"], rest).rowcount
    if over:
        changed += connection.executemany(sql["run_end"], over).rowcount
    if changed != len(transitions):
        raise RunElsewhere(engine=engine, store=url)
    return woken


def _wake_parent(
    connection: sqlite3.Connection, sql: Statements, run: bytes, parent: bytes, now: float
) -> None:
    """A run that another one waits for is over: make that one look, whether it is driven or rests."""
    found = connection.execute(sql["run_status"], (parent,)).fetchone()
    if found is not None and found[1] is not None:
        connection.execute(sql["wish_write"], (parent, "signal", f"run:{UUID(bytes=run)}", b"null", now))
    connection.execute(sql["run_wake"], (parent,))


def find_ended(connection: sqlite3.Connection, sql: Statements, steps: Sequence[StepRow]) -> None:
    """Say which step was to end twice, once one transition is alone.

    Raises:
        StepEnded: always.
    """
    for row in steps:
        found = connection.execute(sql["step_status"], row[:3]).fetchone()
        if found is not None and found[0] != row.status:
            break
    else:
        row = steps[0]
    raise StepEnded(
        task=row.task if row.item == NO_ITEM else f"{row.task}[{row.item}]", run=str(UUID(bytes=row.run))
    )
