"""What goes into a Postgres write transaction: runs admitted, reopened and ended, steps guarded."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from laneway._core.events import EventRow
from laneway._core.records import ENDED, NO_ITEM, Parent, RunRecord, Signal, StepRow, Submission, Transition
from laneway._core.transitions import TERMINAL
from laneway.stores._postgres_link import ALL, Connection, channel
from laneway.stores._rows import new_record, refused_key
from laneway.stores._trouble import RunElsewhere, StepEnded

__all__ = [
    "admit",
    "end",
    "known",
    "record_of",
    "reopen",
    "signal_of",
    "step_of",
    "write_events",
    "write_steps",
]

type Statements = Mapping[str, Any]
type Waiting = list[tuple[Submission, asyncio.Future[RunRecord]]]


def record_of(row: Sequence[Any]) -> RunRecord:
    """A run from the columns that all statements select in one order."""
    parent = None if row[16] is None else Parent(row[16], row[17], row[18])
    tags: dict[str, str] = {} if row[20] is None else row[20]
    return RunRecord._make((*row[:13], False, row[13], row[14], row[15], parent, row[19], tags))


def step_of(row: Sequence[Any]) -> StepRow:
    """A step from its columns; what it printed is stored as bytes because Postgres' text cannot hold a zero byte."""
    return StepRow._make((*row[:14], bytes(row[14]).decode("utf-8", "surrogatepass"), row[15]))


def signal_of(row: Sequence[Any]) -> Signal:
    """A signal from its columns."""
    return Signal(row[0], row[1], row[2])


async def admit(
    connection: Connection, sql: Statements, engine: str, submissions: Waiting
) -> list[tuple[asyncio.Future[RunRecord], Any]]:
    """Insert new runs, with what to answer once that is committed."""
    answers: list[tuple[asyncio.Future[RunRecord], Any]] = []
    events: list[EventRow] = []
    for one, future in submissions:
        found = None if one.key is None else await known(connection, sql, one)
        if (
            found is None
            and (await connection.execute(sql["run_insert"], _columns(one, engine))).rowcount == 0
        ):
            found = await known(connection, sql, one)  # another engine was first
        if found is not None:
            answers.append((future, found))
            continue
        if one.steps:
            await write_steps(connection, sql, [row._replace(run=one.run) for row in one.steps])
        events.append(EventRow(one.run, "run_submitted", None, NO_ITEM, one.created))
        answers.append((future, new_record(one, engine)))
    await write_events(connection, sql, events)
    return answers


async def known(connection: Connection, sql: Statements, one: Submission) -> Any:
    """The run that has the submission's key, the refusal if it is another workflow's, or None."""
    found = await (await connection.execute(sql["run_by_key"], (one.key,))).fetchone()
    if found is None:
        return None
    record = record_of(found)
    return record if record.workflow == one.workflow else refused_key(record, one)


def _columns(one: Submission, engine: str) -> tuple[Any, ...]:
    parent = (None, None, None) if one.parent is None else one.parent
    return (
        one.run, one.workflow, one.version, one.reference, one.key, engine, one.context, one.created,
        one.fingerprints, one.priority, one.deadline, *parent, one.origin,
        Jsonb(dict(one.tags)) if one.tags else None,
    )  # fmt: skip


async def write_steps(connection: Connection, sql: Statements, steps: Sequence[StepRow]) -> None:
    """Write steps' rows.

    Raises:
        StepEnded: one of them ended before; nothing of the transaction may be committed.
    """
    if not steps:
        return
    latest: dict[tuple[bytes, str, int], StepRow] = {}
    for row in steps:
        before = latest.get(row[:3])
        if before is not None and before.status in TERMINAL:
            raise _ended(row)
        latest[row[:3]] = row
    columns = [list(one) for one in zip(*latest.values(), strict=True)]
    columns[14] = [text.encode("utf-8", "surrogatepass") for text in columns[14]]
    if (await connection.execute(sql["step_write"], columns)).rowcount != len(latest):
        raise _ended(steps[0])


def _ended(row: StepRow) -> StepEnded:
    name = row.task if row.item == NO_ITEM else f"{row.task}[{row.item}]"
    return StepEnded(task=name, run=row.run.hex())


async def write_events(connection: Connection, sql: Statements, events: Sequence[EventRow]) -> None:
    """Append events in their order."""
    if events:
        await connection.execute(sql["event_write"], [list(one) for one in zip(*events, strict=True)])


async def reopen(connection: Connection, sql: Statements, engine: str, transition: Transition) -> None:
    """Forget steps of a run so that they run again."""
    reopening = transition.reopening
    if reopening is None:
        return
    await connection.execute(sql["run_reopen"], (reopening.context, transition.run, engine))
    await connection.execute(sql["wishes_done"], (transition.run,))
    for task, item in reopening.forget:
        await connection.execute(sql["step_forget"], (transition.run, task, item))


async def end(
    connection: Connection, sql: Statements, url: str, engine: str, transitions: Sequence[Transition]
) -> None:
    """Record how runs ended, or that they rest.

    Raises:
        StoreFenced: one of them is not this engine's any more.
    """
    over: list[tuple[Any, ...]] = []
    changed = 0
    for one in transitions:
        if one.end is None:
            continue
        if one.end.parent is not None and one.end.status in ENDED:
            await _wake_parent(connection, sql, one.run, one.end.parent.run, one.end.ended)
        if one.end.status in ENDED:
            over.append((one.end.status, one.end.ended, one.end.context, one.end.error, one.run))
        else:
            rest = (one.end.status, one.end.due, one.run, engine)
            changed += (await connection.execute(sql["run_rest"], rest)).rowcount
    if over:
        columns = [list(one) for one in zip(*over, strict=True)]
        changed += (await connection.execute(sql["run_end"], (*columns, engine))).rowcount
    if changed != sum(one.end is not None for one in transitions):
        raise RunElsewhere(engine=engine, store=url)


async def _wake_parent(
    connection: Connection, sql: Statements, run: bytes, parent: bytes, now: float
) -> None:
    """A run that another one waits for is over: make that one look, whether it is driven or rests."""
    found = await (await connection.execute(sql["run_standing"], (parent,))).fetchone()
    if found is not None and found[1] is not None:
        await connection.execute(
            sql["wish_write"], (parent, "signal", f"run:{UUID(bytes=run)}", b"null", now)
        )
        await connection.execute(sql["notify"], (channel(found[1]),))
    else:
        await connection.execute(sql["notify"], (ALL,))
    await connection.execute(sql["run_wake"], (parent,))
