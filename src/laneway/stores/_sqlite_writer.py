"""The one connection that writes a SQLite file: what waits when a commit starts goes into one commit."""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

from laneway._core.errors import StoreError, StoreFenced, StoreUnavailable
from laneway._core.records import Transition
from laneway.stores import _sqlite_rows as rows
from laneway.stores._batch import Answers, Batch, LostRuns, refuse, resolve, settle
from laneway.stores._sqlite_errors import explained, is_outage
from laneway.stores._sqlite_file import DatabaseFile
from laneway.stores._sqlite_turns import Turns
from laneway.stores._trouble import RecordRefused, RunElsewhere

__all__ = ["Job", "Writer"]

type Job = Callable[[sqlite3.Connection], Any]
"""Work inside a write transaction; its result goes to whoever asked."""
type Question = tuple[Job, asyncio.Future[Any]]

log = logging.getLogger("laneway.stores")

_PAUSE = 0.5
"""Seconds between two tries while the file cannot be written."""


class Writer:
    """Owns the only writing connection of this process, and the thread that uses it.

    A small commit that finds nothing before it is written by the event loop itself: waking the thread and being woken
    by it takes longer than the commit. It waits for nothing, neither for a lock nor for the disk; what would have to
    wait is the thread's.

    What cannot be written because of the file as a whole (full disk, lock) stays in its order and is tried again
    until it works or the writer is stopped. What cannot be written because of itself is refused alone.

    Args:
        file: the database; its connection is opened in the thread.
        statements: the adapter's SQL by name.
        clock: the store's clock.
        hook: called in the thread with the name of each point of a commit; for crash tests.
        announce: called on the loop with the other engines when this one gets to work, so that they watch its lease.
    """

    def __init__(
        self,
        file: DatabaseFile,
        statements: dict[str, str],
        clock: Callable[[], float],
        hook: Callable[[str], None] | None = None,
        announce: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.announced = False
        self._announce = announce
        self.engine = ""
        self.lease = 15.0
        self.commits = 0
        self._file = file
        self._turns = Turns(synced=file.is_synced)
        self._connection: sqlite3.Connection | None = None
        self._is_patient = True
        """Whether the connection waits for locks and moves the log, as it does for the thread."""
        self._sql = statements
        self._clock = clock
        self._hook = hook
        self._queue: queue.SimpleQueue[Batch | Question | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="laneway-store", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._trouble: BaseException | None = None
        self._telling: list[str] = []
        self._lost = LostRuns(self._tell)

    async def start(self) -> None:
        """Open the connection in the thread; failures come back as store errors."""
        self._thread.start()
        await self._started

    def put(self, batch: Batch) -> None:
        """Write transitions and submissions at once, or hand them over to the thread."""
        turns = self._turns
        if turns.take(batch):
            try:
                answers = self._write_here(batch)
            finally:
                turns.give_back()
            if answers is not None:
                settle([batch], None, answers)
                if turns.is_log_long:
                    self.hand(Batch(self.engine))
                return
        self.hand(batch)

    def hand(self, work: Batch | Question | None) -> None:
        """Hand something over to the thread; None ends it."""
        self._turns.hand()
        self._queue.put(work)

    async def do(self, job: Job) -> Any:
        """Run a job in the writer's thread, in a transaction of its own, and return its result."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.hand((job, future))
        return await future

    async def stop(self) -> None:
        """Write what is waiting and end the thread."""
        self.hand(None)
        await self._loop.run_in_executor(None, self._thread.join)

    # ---- on the loop, in its turn

    def _write_here(self, batch: Batch) -> Answers | None:
        """One commit that waits for nothing; None if it could not be made, and the thread is to try."""
        connection = self._connection
        if connection is None or self._lost or self._trouble is not None or batch.engine != self.engine:
            return None
        answers: Answers = []
        begun = False
        try:
            self._be_patient(connection, wish=False)
            connection = self._begin(connection)
            begun = True
            if connection is not self._connection:  # another file is at the path: its connection is a new one
                self._connection, self._is_patient = connection, True
            answers = self._fill(connection, [batch])
            self._commit(connection)
        except Exception:  # noqa: BLE001 - the thread meets the same, and knows what to do
            _roll_back(connection)
            return None
        except BaseException:  # such as KeyboardInterrupt, at any point
            if begun and not connection.in_transaction:
                self._loop.call_soon(settle, [batch], None, answers)
            else:
                _roll_back(connection)
                self.hand(batch)
            raise
        if self._hook is not None:
            self._hook("answer")
        return answers

    def _be_patient(self, connection: sqlite3.Connection, *, wish: bool) -> None:
        if self._is_patient != wish:
            self._is_patient = wish
            self._file.be_patient(connection, wish=wish)

    # ---- in the thread

    def _serve(self) -> None:
        try:
            connection = self._file.connect()
        except (sqlite3.Error, StoreError, OSError) as error:
            self._answer(self._started, explained(error, self._file.url))
            return
        self._connection = connection
        self._answer(self._started, None)
        backlog: list[Batch] = []
        unfinished = 0
        going = True
        while going:
            waiting = self._waiting(patient=not backlog)
            going = None not in waiting
            unfinished += len(waiting)
            with self._turns.lock:
                backlog = self._turn(waiting, backlog)
                if not backlog:
                    self._turns.done(unfinished)
                    unfinished = 0
            if self._turns.is_log_long:
                self._move_log()
        for batch in backlog:
            self._loop_call(batch.tell, self._trouble)
        with self._turns.lock:
            connection, self._connection = self._connection, None
        connection.close()

    def _move_log(self) -> None:
        """Do what SQLite does after many commits, while the loop goes on writing."""
        with self._turns.lock:
            whole = self._turns.log_moves()
        self._file.move_log()
        if whole:
            with self._turns.lock:
                self._file.move_log(self._connection)

    def _turn(self, waiting: Sequence[Batch | Question | None], backlog: list[Batch]) -> list[Batch]:
        """Do what was handed over, and what could not be written before. Returns what still cannot."""
        connection = self._connection
        if connection is None:
            return []
        self._be_patient(connection, wish=True)
        batches, is_stuck = backlog, False
        for one in waiting:
            if isinstance(one, Batch):
                batches.append(one)
            elif one is not None:  # in order: what comes after an engine's new name is made in that
                if batches and not is_stuck:
                    connection, batches = self._write_all(connection, batches)
                    is_stuck = bool(batches)
                connection = self._work(connection, *one)
        if batches and not is_stuck:
            connection, batches = self._write_all(connection, batches)
        self._connection = connection
        return batches

    def _write_all(
        self, connection: sqlite3.Connection, batches: list[Batch]
    ) -> tuple[sqlite3.Connection, list[Batch]]:
        """One commit for what was made in the engine's name. Returns what has to wait."""
        for one in batches:
            if one.engine != self.engine:
                self._loop_call(settle, [one], StoreFenced(engine=one.engine, store=self._file.url), None)
        batches = self._lost.kept([one for one in batches if one.engine == self.engine])
        try:
            return self._write(connection, batches) if batches else (connection, [])
        except Exception as error:
            log.exception("store %s: unexpected failure; nothing of this commit was written", self._file.url)
            self._loop_call(settle, batches, error, None)
            return connection, []

    def _waiting(self, *, patient: bool) -> list[Batch | Question | None]:
        """What was handed over since; waits for something, but not for long while earlier work is unwritten."""
        waiting: list[Batch | Question | None] = []
        try:
            waiting.append(self._queue.get(timeout=None if patient else _PAUSE))
            while True:
                waiting.append(self._queue.get_nowait())
        except queue.Empty:
            return waiting

    def _write(
        self, connection: sqlite3.Connection, batches: list[Batch]
    ) -> tuple[sqlite3.Connection, list[Batch]]:
        """One commit for all batches. Returns what has to wait because the file cannot be written now."""
        try:
            connection = self._begin(connection)
            try:
                answers = self._fill(connection, batches)
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
        except StoreFenced as error:
            if isinstance(error, RunElsewhere):
                return self._write_apart(connection, batches, error)
            self._loop_call(settle, batches, error, None)
            return connection, []
        except (sqlite3.Error, OSError, StoreUnavailable) as error:
            if is_outage(error):
                return connection, self._waited(error, batches)
            return self._write_apart(connection, batches, error)
        except (StoreError, ValueError, TypeError, OverflowError) as error:
            return self._write_apart(connection, batches, error)
        if self._hook is not None:
            self._hook("answer")
        self._loop_call(settle, batches, None, answers)
        return connection, []

    def _begin(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        if self._hook is not None:
            self._hook("begin")
        connection = self._file.begin(connection)
        if self._hook is not None:
            self._hook("begun")
        return connection

    def _commit(self, connection: sqlite3.Connection) -> None:
        if self._hook is not None:
            self._hook("written")
        connection.execute("commit")
        if self._hook is not None:
            self._hook("committed")
        self.commits += 1
        if self._telling and self._announce is not None:
            self._loop_call(self._announce, self._telling)
            self._telling = []
        if self._trouble is not None:
            self._trouble = None
            log.warning("store %s can be written again", self._file.url)

    def _waited(self, error: BaseException, batches: list[Batch]) -> list[Batch]:
        """Refuse submissions, whose callers can wait themselves; keep transitions for the next try."""
        trouble = explained(error, self._file.url)
        if self._trouble is None:
            log.error("%s (steps wait for it and are written when it is back)", trouble)
        self._trouble = trouble
        for batch in batches:
            if batch.submissions:
                self._loop_call(refuse, batch.submissions, trouble)
                self._lost.lose(batch, trouble)
        return self._lost.kept(batches)

    def _write_apart(
        self, connection: sqlite3.Connection, batches: list[Batch], error: BaseException
    ) -> tuple[sqlite3.Connection, list[Batch]]:
        """One of them is at fault: commit each by itself, so that only the culprit (and what its run adds) fails."""
        singles = [single for batch in batches for single in batch.split()]
        if len(singles) == 1:
            refusal = self._refusal(singles[0], error)
            # The loop gets the list itself: `_lose` leaves the batch without it, at once.
            self._loop_call(refuse, singles[0].submissions, refusal)
            self._loop_call(singles[0].tell, refusal)
            self._lost.lose(singles[0], refusal)
            return connection, []
        left: list[Batch] = []
        for single in singles:
            if left and single.transitions:
                left.append(single)
                continue
            for kept in self._lost.kept([single]):
                connection, waits = self._write(connection, [kept])
                left += waits
        return connection, left

    def _refusal(self, single: Batch, error: BaseException) -> BaseException:
        if isinstance(error, StoreError):
            return error
        run = single.transitions[0].run if single.transitions else single.submissions[0][0].run
        refused = RecordRefused(store=self._file.url, run=str(UUID(bytes=run)), reason=str(error))
        refused.__cause__ = error
        return refused

    def _fill(self, connection: sqlite3.Connection, batches: list[Batch]) -> Answers:
        """Everything that goes into one commit."""
        sql = self._sql
        self._check_lease(connection)
        answers = rows.admit(
            connection, sql, self.engine, [one for batch in batches for one in batch.submissions]
        )
        transitions = [one for batch in batches for one in batch.transitions]
        ends: list[Transition] = []
        for one in transitions:
            if one.reopening is not None:
                rows.reopen(connection, sql, self.engine, one)
            if one.end is not None:
                ends.append(one)
        steps = list(chain.from_iterable([one.steps for one in transitions]))
        if steps and connection.executemany(sql["step_write"], steps).rowcount != len(steps):
            rows.find_ended(connection, sql, steps)
        connection.executemany(sql["event_write"], chain.from_iterable([one.events for one in transitions]))
        if ends and rows.end(connection, sql, self._file.url, self.engine, ends):
            self._tell_others(connection)
        return answers

    def _check_lease(self, connection: sqlite3.Connection) -> None:
        """Refuse to write without the lease; writing renews it when half of it is over."""
        found = connection.execute(self._sql["engine_expires"], (self.engine,)).fetchone()
        if found is None:
            raise StoreFenced(engine=self.engine, store=self._file.url)
        now = self._clock()
        if found[0] - now < self.lease / 2:
            connection.execute(self._sql["engine_renew"], (now + self.lease, self.engine))
            self.announced = False
        if not self.announced:
            self.announced = True
            self._tell_others(connection)

    def _tell_others(self, connection: sqlite3.Connection) -> None:
        """Have the other engines look, once this commit is there to be seen."""
        self._telling = [row[0] for row in connection.execute(self._sql["engines"]) if row[0] != self.engine]

    def _work(
        self, connection: sqlite3.Connection, job: Job, future: asyncio.Future[Any]
    ) -> sqlite3.Connection:
        try:
            connection = self._begin(connection)
            try:
                result = job(connection)
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
        except Exception as error:  # noqa: BLE001 - whoever asked gets it; the thread must go on
            self._answer(future, explained(error, self._file.url))
        else:
            self._answer(future, result)
        return connection

    def _answer(self, future: asyncio.Future[Any], answer: Any) -> None:
        self._loop_call(resolve, future, answer)

    def _tell(self, batch: Batch, failure: BaseException) -> None:
        self._loop_call(batch.tell, failure)

    def _loop_call(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("rollback")
