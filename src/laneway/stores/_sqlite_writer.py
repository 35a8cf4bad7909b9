"""The one thread that writes a SQLite file: what waits when a commit starts goes into one commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from laneway._core.errors import KeyReused, StoreError, StoreFenced
from laneway._core.records import NO_ITEM, RunRecord, Submission, Transition
from laneway.stores._sqlite_errors import explained

__all__ = ["Batch", "Job", "Writer"]

type Job = Callable[[sqlite3.Connection], Any]
"""Work inside a write transaction; its result goes to whoever asked."""


class Batch:
    """What was handed over in one turn of the event loop, with who wants to know how it went."""

    __slots__ = ("answers", "submissions", "transitions")

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.answers: list[Callable[[BaseException | None], None]] = []
        self.submissions: list[tuple[Submission, asyncio.Future[RunRecord]]] = []


class Writer:
    """Owns the only writing connection of this process.

    Args:
        connect: opens that connection; called in the thread.
        statements: the adapter's SQL by name.
        store: how the store is named in errors.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], statements: dict[str, str], store: str) -> None:
        self.engine = ""
        self.commits = 0
        self._connect = connect
        self._sql = statements
        self._store = store
        self._queue: queue.SimpleQueue[Batch | tuple[Job, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="laneway-store", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Open the connection in the thread; failures come back as store errors."""
        self._thread.start()
        await self._started

    def put(self, batch: Batch) -> None:
        """Hand over transitions."""
        self._queue.put(batch)

    async def do(self, job: Job) -> Any:
        """Run a job in the writer's thread, in a transaction of its own, and return its result."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((job, future))
        return await future

    async def stop(self) -> None:
        """Write what is waiting and end the thread."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    # ---- in the thread

    def _serve(self) -> None:
        try:
            connection = self._connect()
        except (sqlite3.Error, StoreError, OSError) as error:
            self._answer(self._started, explained(error, self._store))
            return
        self._answer(self._started, None)
        going = True
        while going:
            waiting = [self._queue.get()]
            while True:
                try:
                    waiting.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            going = None not in waiting
            batches = [one for one in waiting if isinstance(one, Batch)]
            if batches:
                self._write(connection, batches)
            for one in waiting:
                if isinstance(one, tuple):
                    self._work(connection, *one)
        connection.close()

    def _write(self, connection: sqlite3.Connection, batches: list[Batch]) -> None:
        """One commit for all batches; if it fails, nothing of it was written and all of them are told."""
        failure: BaseException | None = None
        answers: list[tuple[asyncio.Future[RunRecord], Any]] = []
        try:
            connection.execute("begin immediate")
            try:
                if connection.execute(self._sql["engine_alive"], (self.engine,)).fetchone() is None:
                    raise StoreFenced(engine=self.engine, store=self._store)
                answers = self._admitted(connection, [one for batch in batches for one in batch.submissions])
                steps = [row for batch in batches for one in batch.transitions for row in one.steps]
                events = [row for batch in batches for one in batch.transitions for row in one.events]
                ends = [
                    (end.status, end.ended, end.context, end.error, one.run)
                    for batch in batches
                    for one in batch.transitions
                    if (end := one.end) is not None
                ]
                connection.executemany(self._sql["step_write"], steps)
                connection.executemany(self._sql["event_write"], events)
                if ends:
                    connection.executemany(self._sql["run_end"], ends)
                connection.execute("commit")
                self.commits += 1
            except BaseException:
                _roll_back(connection)
                raise
        except (sqlite3.Error, StoreError) as error:
            failure = explained(error, self._store)
            answers = [(future, failure) for batch in batches for _, future in batch.submissions]
        self._loop_call(_settle, batches, failure, answers)

    def _known(self, connection: sqlite3.Connection, submission: Submission) -> RunRecord | KeyReused | None:
        """The run that has the submission's key, the refusal if it is another workflow's, or None."""
        if submission.key is not None:
            known = connection.execute(self._sql["run_by_key"], (submission.key,)).fetchone()
            if known is not None:
                record = RunRecord(*known)
                if record.workflow == submission.workflow:
                    return record
                return KeyReused(
                    key=submission.key,
                    run=str(UUID(bytes=record.run)),
                    existing=record.workflow,
                    workflow=submission.workflow,
                )
        return None

    def _admitted(
        self, connection: sqlite3.Connection, submissions: list[tuple[Submission, asyncio.Future[RunRecord]]]
    ) -> list[tuple[asyncio.Future[RunRecord], Any]]:
        """Insert new runs, with what to answer once that is committed."""
        answers: list[tuple[asyncio.Future[RunRecord], Any]] = []
        rows: list[tuple[Any, ...]] = []
        for one, future in submissions:
            known = None if one.key is None else self._known(connection, one)
            if known is not None:
                answers.append((future, known))
                continue
            rows.append(
                (
                    one.run,
                    one.workflow,
                    one.version,
                    one.reference,
                    one.key,
                    self.engine,
                    one.context,
                    one.created,
                    one.fingerprints,
                )
            )
            answers.append((future, _new_record(one, self.engine)))
            if one.key is not None:  # the next one may ask for the same key
                connection.execute(self._sql["run_insert"], rows.pop())
        connection.executemany(self._sql["run_insert"], rows)
        events = [
            (one.run, "run_submitted", None, NO_ITEM, one.created, None)
            for (one, _), (_, answer) in zip(submissions, answers, strict=True)
            if isinstance(answer, RunRecord) and answer.is_new
        ]
        connection.executemany(self._sql["event_write"], events)
        return answers

    def _work(self, connection: sqlite3.Connection, job: Job, future: asyncio.Future[Any]) -> None:
        try:
            connection.execute("begin immediate")
            try:
                result = job(connection)
                connection.execute("commit")
                self.commits += 1
            except BaseException:
                _roll_back(connection)
                raise
        except (sqlite3.Error, StoreError, OSError) as error:
            self._answer(future, explained(error, self._store))
        else:
            self._answer(future, result)

    def _answer(self, future: asyncio.Future[Any], answer: Any) -> None:
        self._loop_call(_resolve, future, answer)

    def _loop_call(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _new_record(one: Submission, engine: str) -> RunRecord:
    return RunRecord(
        one.run,
        one.workflow,
        one.version,
        one.reference,
        "running",
        one.key,
        engine,
        one.context,
        None,
        None,
        one.created,
        None,
        one.fingerprints,
        is_new=True,
    )


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("rollback")


def _settle(
    batches: list[Batch], failure: BaseException | None, answers: list[tuple[asyncio.Future[RunRecord], Any]]
) -> None:
    for future, answer in answers:
        _resolve(future, answer)
    for batch in batches:
        for answered in batch.answers:
            answered(failure)


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
