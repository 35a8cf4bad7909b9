"""The questions a Postgres store answers, each on a reading connection in a transaction of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from laneway._core.errors import RunNotFound
from laneway._core.records import RunRecord, SavedRun
from laneway.ports import EngineCard
from laneway.stores._postgres_link import Connection
from laneway.stores._postgres_rows import record_of, signal_of, step_of
from laneway.stores._processes import is_gone
from laneway.stores._rows import (
    event_of,
    first_id,
    like_pattern,
    run_answer,
    run_id,
    signal_answer,
    step_answer,
)

__all__ = ["READS", "Asker", "cards", "saved"]

type Statements = Mapping[str, Any]
type Answers = list[dict[str, Any]]


async def saved(connection: Connection, sql: Statements, run: bytes) -> SavedRun:
    """A run with its steps and signals as records."""
    row = await (await connection.execute(sql["run_by_id"], (run,))).fetchone()
    if row is None:
        raise RunNotFound(run=run.hex(), store="")
    steps = await (await connection.execute(sql["steps_of"], (run,))).fetchall()
    signals = await (await connection.execute(sql["signals_of"], (run,))).fetchall()
    return SavedRun(record_of(row), [step_of(one) for one in steps], [signal_of(one) for one in signals])


async def cards(
    connection: Connection, query: Any, arguments: Sequence[Any] = ()
) -> list[tuple[EngineCard, float]]:
    """Engines and the seconds their lease still has."""
    rows = await (await connection.execute(query, arguments)).fetchall()
    return [(EngineCard(*row[:4]), row[4]) for row in rows]


class Asker:
    """One question being answered: the connection and what is needed to speak to it."""

    def __init__(self, connection: Connection, sql: Statements, url: str, card: EngineCard) -> None:
        self.connection = connection
        self.sql = sql
        self.url = url
        self.card = card

    async def rows(self, name: str, arguments: Any = ()) -> list[tuple[Any, ...]]:
        """The rows of a named statement."""
        return await (await self.connection.execute(self.sql[name], arguments)).fetchall()

    async def record(self, run: str) -> RunRecord:
        """The run with that id.

        Raises:
            RunNotFound: there is none.
        """
        try:
            found = await self.rows("run_by_id", (run_id(run),))
        except ValueError:
            found = []
        if not found:
            raise RunNotFound(run=run, store=self.url)
        return record_of(found[0])

    async def saved(self, run: str) -> SavedRun:
        """That run with what belongs to it."""
        return await saved(self.connection, self.sql, (await self.record(run)).run)


async def _runs(
    ask: Asker,
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
    arguments["tags"] = Jsonb(dict(tags)) if tags else None
    return [run_answer(record_of(row)) for row in await ask.rows("runs", arguments)]


async def _run(ask: Asker, *, run: str) -> Answers:
    return [run_answer(await ask.record(run))]


async def _steps(ask: Asker, *, run: str) -> Answers:
    return [step_answer(row) for row in (await ask.saved(run)).steps]


async def _saved(ask: Asker, *, run: str) -> Answers:
    return [{"saved": await ask.saved(run)}]


async def _signals(ask: Asker, *, run: str) -> Answers:
    return [signal_answer(one) for one in (await ask.saved(run)).signals]


async def _events(ask: Asker, *, run: str | None = None, after: int = 0, limit: int = 1000) -> Answers:
    arguments = {"run": None if run is None else run_id(run), "after": after, "limit": limit}
    rows = await ask.rows("events_of" if run else "events", arguments)
    return [{"event": event_of(*row)} for row in rows]


async def _counts(ask: Asker) -> Answers:
    return [{"status": status, "runs": number} for status, number in await ask.rows("counts")]


async def _sizes(ask: Asker) -> Answers:
    names = ("runs", "steps", "events", "artifacts", "artifact_bytes", "documents", "file_bytes", "schema")
    return [dict(zip(names, (await ask.rows("sizes"))[0], strict=True))]


async def _ages(ask: Asker) -> Answers:
    return [dict(zip(("oldest", "oldest_end"), (await ask.rows("ages"))[0], strict=True))]


async def _documents(ask: Asker, *, kind: str, name: str | None = None) -> Answers:
    rows = await ask.rows("documents", {"kind": kind, "name": name})
    return [{"name": name, "version": version, "body": body} for name, version, body in rows]


async def _agenda(ask: Asker, *, workflows: Sequence[str]) -> Answers:
    names = list(workflows)
    others = await cards(ask.connection, ask.sql["agenda_leases"], (ask.card.id, names))
    leases = [0.0 if left < 0 or is_gone(one, beside=ask.card) else left for one, left in others]
    ((due,),) = await ask.rows("agenda_due", (names,))
    ((free,),) = await ask.rows("agenda_free", (names,))
    return [{"due": due, "free": free, "leases": min(leases, default=None)}]


async def _engines(ask: Asker) -> Answers:
    return [
        {
            "id": one.id,
            "host": one.host,
            "pid": one.pid,
            "left": left,
            "gone": one.id != ask.card.id and (left < 0 or is_gone(one, beside=ask.card)),
        }
        for one, left in await cards(ask.connection, ask.sql["engines"])
    ]


READS: dict[str, Callable[..., Awaitable[Answers]]] = {
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
    "agenda": _agenda,
    "engines": _engines,
}
