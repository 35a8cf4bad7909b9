"""`RunHandle`: what `engine.start` gives, to wait for a run, to watch it and to cancel it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from laneway._core.context import decode_object, encode_object, join_object
from laneway._core.errors import LanewayError
from laneway._core.events import Event, EventRow
from laneway._core.records import ENDED
from laneway._core.transitions import final_context, restored
from laneway.engine.artifact_references import as_json
from laneway.engine.dispatch import Driver
from laneway.engine.results import RunResult, result_of
from laneway.engine.runs import Runs
from laneway.engine.surroundings import Surroundings
from laneway.engine.target import Runnable

__all__ = ["RunHandle", "RunInterrupted", "stored_result"]


class RunInterrupted(LanewayError):
    """The engine was closed while the run was going on. It can be resumed: nothing committed is lost."""

    code = "LW-ENGINE-002"
    template = "run {run} was interrupted when its engine closed. `engine.resume({run!r})` goes on with it."


class RunHandle:
    """A started run. `id` is its UUIDv7 as text; `is_new` is False where the key named a run that was there."""

    def __init__(
        self, run: str, around: Surroundings, runs: Runs, driver: Driver | None, *, is_new: bool
    ) -> None:
        self.id = run
        self.is_new = is_new
        self._around = around
        self._runs = runs
        self._driver = driver

    def __repr__(self) -> str:
        return f"<RunHandle {self.id}>"

    @property
    def driver(self) -> Driver | None:
        """What drives the run in this engine, or drove it to its end; None where it was over or is driven elsewhere."""
        return self._driver

    @property
    def kept(self) -> int:
        """How many finished steps were found in the store when the run was taken up."""
        return 0 if self._driver is None else self._driver.kept

    async def result(self, *, check: bool = True) -> RunResult:
        """Wait for the run's end, or until it rests: paused, or suspended until somebody signals it.

        A run that waits for a moment only is waited for, also while it rests.

        Raises:
            RunFailed: it failed or was cancelled, and `check` is True.
            RunInterrupted: the engine closed first.
        """
        found = await self._driven()
        if found is None:
            async for _ in self.events():
                pass
            found = await stored_result(self._around, self.id, self._runs.adoption.code_of(self.id))
        return found.checked() if check else found

    async def settled(self) -> RunResult:
        """Wait until the run is over or rests, whatever it rests for; never raises for how it ended.

        Raises:
            RunInterrupted: the engine closed first.
        """
        driver = self._runs.live.get(self.id)
        if driver is not None:
            status = await driver.wait()
            if status == "interrupted":
                raise RunInterrupted(run=self.id)
            return _reached(driver, status)
        return await stored_result(self._around, self.id, self._runs.adoption.code_of(self.id))

    async def _driven(self) -> RunResult | None:
        """The result, as long as this engine drives the run or takes it up again by itself."""
        adoption = self._runs.adoption
        driver = self._runs.live.get(self.id)
        if driver is None and self._driver is not None and self._driver.status != "suspended":
            driver = self._driver
        while True:
            if driver is None:
                if not adoption.is_awaited(self.id):
                    return None
                driver = await adoption.next_driver(self.id)
                if driver is None and self._runs.is_closing:
                    raise RunInterrupted(run=self.id)
                continue
            status = await driver.wait()
            if status == "interrupted":
                raise RunInterrupted(run=self.id)
            if status != "suspended" or not adoption.is_awaited(self.id):
                return _reached(driver, status)
            driver = None

    async def cancel(self) -> None:
        """Stop the run's steps and record it as cancelled."""
        await self._runs.cancel(self.id)

    async def pause(self) -> None:
        """Let running steps finish and start nothing more; `engine.resume` goes on."""
        await self._runs.adoption.pause(self.id)

    async def signal(self, name: str, value: Any = None) -> None:
        """Send a named value to the run, for steps that wait for it now or later.

        Raises:
            JsonInvalid: JSON cannot hold the value.
        """
        value = as_json(value, f"signal {name!r}", self._around.artifacts.desk)
        await self._runs.adoption.signal(self.id, name, encode_object({"v": value})[len(b'{"v":') : -1])

    async def events(self, *, after: int = 0) -> AsyncIterator[Event]:
        """The run's events in order, from the cursor `after` on, until it ends. Read from the store: none is missed."""
        cursor = after
        changed = asyncio.Event()
        mine = self._driver.run if self._driver is not None else None

        def notice(rows: Any) -> None:
            if any(isinstance(row, EventRow) and row.run == mine for row in rows):
                changed.set()

        self._around.listeners.append(notice)
        if self._driver is not None:
            self._driver.on_close.append(changed.set)
        try:
            while True:
                changed.clear()
                for answer in await self._around.store.read("events", run=self.id, after=cursor):
                    event: Event = answer["event"]
                    cursor = event.seq
                    yield event
                    if event.kind in _LAST:
                        return
                driver = self._driver
                if driver is not None and driver.status is None and driver.failure is None:
                    await changed.wait()
                elif (await self._status()) in ENDED | _RESTS or driver is not None:
                    if not await self._around.store.read("events", run=self.id, after=cursor, limit=1):
                        return
                else:
                    await asyncio.sleep(0.25)  # another engine drives it; SQLite cannot tell us when it moves
        finally:
            self._around.listeners.remove(notice)

    async def _status(self) -> str:
        answers = await self._around.store.read("run", run=self.id)
        return str(answers[0]["status"])


_LAST = frozenset({"run_succeeded", "run_failed", "run_cancelled"})
_RESTS = frozenset({"paused", "suspended"})


def _reached(driver: Driver, status: str) -> RunResult:
    """What a driver's run came to."""
    end = driver.end
    if status == "suspended":
        context = join_object(final_context(driver.state))
    else:
        context = join_object(driver.state.initial) if end is None or end.context is None else end.context
    error = None if end is None or status == "suspended" else end.error
    return result_of(
        driver.run, driver.plan.workflow.name, status, context, error, driver.state.rows, driver.kept
    )


async def stored_result(around: Surroundings, run: str, code: Runnable | None = None) -> RunResult:
    """A run as the store has it. With its code, the context of an unfinished one is what it has come to so far.

    Raises:
        RunNotFound: there is none.
    """
    saved = (await around.store.read("saved", run=run))[0]["saved"]
    record = saved.record
    rows = {(row.task, row.item): row for row in saved.steps}
    context = record.context if record.final is None else record.final
    if record.final is None and code is not None:
        context = join_object(final_context(restored(code.plan, decode_object(context), saved.steps)[0]))
    return result_of(record.run, record.workflow, record.status, context, record.error, rows, 0)
