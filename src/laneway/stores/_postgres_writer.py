"""The one task that writes to Postgres for an engine: what waits when a commit starts goes into one commit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from typing import Any
from uuid import UUID

import psycopg

from laneway import aio
from laneway._core.errors import StoreError, StoreFenced, StoreUnavailable
from laneway.stores import _postgres_rows as rows
from laneway.stores._batch import Answers, Batch, resolve, settle
from laneway.stores._postgres_link import ALL, Connection, Link
from laneway.stores._rows import new_record
from laneway.stores._trouble import RecordRefused, RunElsewhere

__all__ = ["Job", "PostgresWriter"]

type Job = Callable[[Connection], Awaitable[Any]]
"""Work inside a write transaction; its result goes to whoever asked."""

log = logging.getLogger("laneway.stores")

_PAUSE = 0.5
"""Seconds between two tries while the server cannot be written."""

_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""Two transactions met and the server took one back, so that nothing of it took place: it is made again at once."""
_TRIES = 5


class PostgresWriter:
    """Owns the only writing connection of an engine.

    What cannot be written because the server is away stays in its order and is tried again until it works or the
    writer is stopped. Whether a commit whose answer was lost took place is looked up by its number.
    """

    def __init__(self, link: Link, statements: Mapping[str, Any]) -> None:
        self.engine = ""
        self.lease = 15.0
        self.commits = 0
        self._link = link
        self._sql = statements
        self._connection: Connection | None = None
        self._waiting: list[Batch | tuple[Job, asyncio.Future[Any]]] = []
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._number = 0
        self._doubt: tuple[int, list[Batch]] | None = None
        self._trouble: BaseException | None = None
        self._quiet_since = float("-inf")

    async def start(self) -> None:
        """Connect and see to the tables.

        Raises:
            StoreUnavailable, StoreSchemaNewer: as `Store.open`.
        """
        connection = await self._link.connect("writer")
        try:
            await self._link.prepare(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self._task = aio.create_task(self._serve(), name="laneway store")

    def put(self, batch: Batch) -> None:
        """Hand over transitions and submissions."""
        self._waiting.append(batch)
        self._filled.set()

    async def do(self, job: Job) -> Any:
        """Run a job in a transaction of its own, in its turn, and return its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._filled.set()
        return await future

    async def stop(self) -> None:
        """Write what is waiting and disconnect."""
        self._stopping = True
        self._filled.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await self._connection.close()

    # ---- in the task

    async def _serve(self) -> None:
        backlog: list[Batch] = []
        while True:
            if not self._waiting and not self._stopping:
                await self._wait(patient=not backlog and self._doubt is None)
            waiting = self._next_in_order()
            self._filled.clear()
            last = self._stopping
            batches = backlog + [one for one in waiting if isinstance(one, Batch)]
            try:
                if self._doubt is not None and not await self._cleared():
                    self._refuse_submissions(batches)
                    backlog = batches
                else:
                    backlog = await self._write(batches) if batches else []
            except Exception as error:
                log.exception(
                    "store %s: unexpected failure; nothing of this commit was written", self._link.url
                )
                settle(batches, error, None)
                backlog = []
            for one in waiting:
                if isinstance(one, tuple):
                    await self._work(*one)
            if last and not self._waiting:
                break
        for batch in [*(self._doubt[1] if self._doubt else ()), *backlog]:
            for _, future in batch.submissions:
                resolve(future, self._trouble)
            batch.tell(self._trouble)

    def _next_in_order(self) -> list[Batch | tuple[Job, asyncio.Future[Any]]]:
        """What waits, up to what comes after a job: after an engine's new name, things are made in that."""
        waiting, self._waiting = self._waiting, []
        for number, one in enumerate(waiting):
            if isinstance(one, Batch) and number and not isinstance(waiting[number - 1], Batch):
                self._waiting = waiting[number:]
                return waiting[:number]
        return waiting

    def _current(self, batches: list[Batch]) -> list[Batch]:
        """Without what was made in a name that the engine has lost, which is told."""
        for one in batches:
            if one.engine != self.engine:
                settle([one], StoreFenced(engine=one.engine, store=self._link.url), None)
        return [one for one in batches if one.engine == self.engine]

    async def _wait(self, *, patient: bool) -> None:
        if patient:
            await self._filled.wait()
            return
        try:
            async with asyncio.timeout(_PAUSE):
                await self._filled.wait()
        except TimeoutError:
            return

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = await self._link.connect("writer")
        return self._connection

    async def _write(self, batches: list[Batch], tries: int = _TRIES) -> list[Batch]:
        """One commit for all batches. Returns what has to wait because the server cannot be written now."""
        batches = self._current(batches)
        if not batches:
            return []
        committing = False
        self._number += 1
        try:
            connection = await self._connected()
            try:
                await connection.execute("begin")
                answers = await self._fill(connection, batches)
                committing = True
                await connection.execute("commit")
            except BaseException:
                await _roll_back(connection)
                raise
        except StoreFenced as error:
            if isinstance(error, RunElsewhere):
                return await self._write_apart(batches, error)
            settle(batches, error, None)
            return []
        except (psycopg.Error, OSError, StoreUnavailable) as error:
            if isinstance(error, _AGAIN) and tries > 1:
                return await self._write(batches, tries - 1)
            if not self._link.is_outage(error):
                return await self._write_apart(batches, error)
            self._told(error)
            if committing:  # it may have been committed: nobody may be told anything before that is known
                self._doubt = (self._number, batches)
                return []
            self._refuse_submissions(batches)
            return [batch for batch in batches if batch.transitions]
        except (StoreError, ValueError, TypeError) as error:
            return await self._write_apart(batches, error)
        self._written()
        settle(batches, None, answers)
        return []

    async def _cleared(self) -> bool:
        """Find out whether the commit in doubt took place; if not, make it now. False: the server is still away."""
        if self._doubt is None:
            return True
        number, batches = self._doubt
        engine = batches[0].engine
        try:
            connection = await self._connected()
            found = await (await connection.execute(self._sql["engine_batch"], (engine,))).fetchone()
            if found is None:
                raise StoreFenced(engine=engine, store=self._link.url)
            answers: Answers = []
            if found[0] == number:
                for one, future in chain.from_iterable([batch.submissions for batch in batches]):
                    row = await (await connection.execute(self._sql["run_by_id"], (one.run,))).fetchone()
                    answers.append(
                        (
                            future,
                            new_record(one, engine) if row else await rows.known(connection, self._sql, one),
                        )
                    )
        except StoreFenced as error:
            self._doubt = None
            settle(batches, error, None)
            return True
        except (psycopg.Error, OSError, StoreUnavailable) as error:
            self._told(error)
            return False
        self._doubt = None
        if found[0] == number:
            self._written()
            settle(batches, None, answers)
            return True
        left = await self._write(batches)
        if left:
            self.put_back(left)
        return self._doubt is None and not left

    def put_back(self, batches: list[Batch]) -> None:
        """Keep batches that must go ahead of everything else."""
        self._waiting[:0] = batches

    def _written(self) -> None:
        self.commits += 1
        if self._trouble is not None:
            self._trouble = None
            log.warning("store %s can be written again", self._link.url)

    def _told(self, error: BaseException) -> None:
        trouble = self._link.explained(error)
        if self._trouble is None:
            log.error("%s (steps wait for it and are written when it is back)", trouble)
        self._trouble = trouble

    def _refuse_submissions(self, batches: list[Batch]) -> None:
        for batch in batches:
            for _, future in batch.submissions:
                resolve(future, self._trouble)
            batch.submissions = []

    async def _write_apart(self, batches: list[Batch], error: BaseException) -> list[Batch]:
        """One of them is at fault: commit each by itself, so that only the culprit fails."""
        singles = [single for batch in batches for single in batch.split()]
        if len(singles) == 1:
            settle(batches, self._refusal(singles[0], error), None)
            return []
        left: list[Batch] = []
        for single in singles:
            if left or self._doubt is not None:
                self._refuse_submissions([single])
                left += [single] if single.transitions else []
            else:
                left += await self._write([single])
        return left

    def _refusal(self, single: Batch, error: BaseException) -> BaseException:
        if isinstance(error, StoreError):
            return error
        run = single.transitions[0].run if single.transitions else single.submissions[0][0].run
        refused = RecordRefused(
            store=self._link.url, run=str(UUID(bytes=run)), reason=" ".join(str(error).split())
        )
        refused.__cause__ = error
        return refused

    async def _fill(self, connection: Connection, batches: list[Batch]) -> Answers:
        """Everything that goes into one commit. Holding the engine's row keeps others from taking its runs."""
        sql = self._sql
        hold = (self._number, self.lease / 2, self.lease, self.engine)
        if (await connection.execute(sql["engine_hold"], hold)).rowcount == 0:
            raise StoreFenced(engine=self.engine, store=self._link.url)
        now = asyncio.get_running_loop().time()
        if now - self._quiet_since > self.lease / 2:  # back at work: others may have to watch its lease
            await connection.execute(sql["notify"], (ALL,))
        self._quiet_since = now
        submissions = [one for batch in batches for one in batch.submissions]
        answers = await rows.admit(connection, sql, self.engine, submissions) if submissions else []
        transitions = [one for batch in batches for one in batch.transitions]
        for one in transitions:
            if one.reopening is not None:
                await rows.reopen(connection, sql, self.engine, one)
        await rows.write_steps(connection, sql, list(chain.from_iterable([one.steps for one in transitions])))
        await rows.write_events(
            connection, sql, list(chain.from_iterable([one.events for one in transitions]))
        )
        if any(one.end is not None for one in transitions):
            await rows.end(connection, sql, self._link.url, self.engine, transitions)
        return answers

    async def _work(self, job: Job, future: asyncio.Future[Any], tries: int = _TRIES) -> None:
        try:
            connection = await self._connected()
            async with connection.transaction():
                result = await job(connection)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it; the task must go on
            if isinstance(error, _AGAIN) and tries > 1:
                await self._work(job, future, tries - 1)
            else:
                resolve(future, self._link.explained(error))
        else:
            self.commits += 1
            resolve(future, result)


async def _roll_back(connection: Connection) -> None:
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
