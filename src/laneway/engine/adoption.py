"""Taking runs up again: resting ones when they are due or signalled, those of dead engines, and those to do over."""

import asyncio
import heapq
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID, uuid7

import msgspec

from laneway import aio
from laneway._core.context import decode_object
from laneway._core.errors import LanewayError, StoreError
from laneway._core.events import EventRow
from laneway._core.records import (
    ENDED,
    NO_ITEM,
    Parent,
    Reopening,
    RunEnd,
    RunRecord,
    SavedRun,
    Submission,
    Transition,
)
from laneway._core.undoing import changed_tasks, forgotten, kept_for_fork
from laneway.engine.dispatch import Driver
from laneway.engine.refusals import RunBusy, RunChanged
from laneway.engine.surroundings import Surroundings, log

__all__ = ["Adoption", "LiveRuns", "check_code"]

_AT_ONCE = 50
"""Runs taken up with one claim."""
_PAUSE = 1.0
"""Seconds until the store is asked again after it could not answer."""
_LATER = 0.05
"""Seconds added to a moment, so that it is surely over when it is looked at."""


class LiveRuns(Protocol):
    """What the engine's live runs can do."""

    live: dict[str, Driver]

    async def room(self) -> None:
        """Wait for room for one more run."""
        ...

    def no_room_needed(self) -> None:
        """Give that room back."""
        ...

    def adopt(self, saved: SavedRun, runnable: Any) -> Driver:
        """Drive a claimed run; takes the room."""
        ...


class Adoption:
    """Watches over runs that nobody drives.

    It sleeps until the next moment something is due and is woken by the store; with nothing to watch it does nothing.

    Args:
        around: store, time.
        runs: the engine's live runs.
        code: workflows by name whose runs are taken up wherever they were started.
    """

    def __init__(self, around: Surroundings, runs: LiveRuns, code: Mapping[str, Any]) -> None:
        self._around = around
        self._runs = runs
        self._code = dict(code)
        self._resting: dict[str, tuple[Any, float | None]] = {}
        """Runs that this engine laid to rest, with their code and when they go on by themselves."""
        self._rested_code: dict[str, tuple[Any, int]] = {}
        """Their workflows by name, with how many rest."""
        self._alarms: list[tuple[float, str]] = []
        self._awaited: dict[str, list[asyncio.Future[Driver | None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._closed = False

    # ---- resting runs

    def rested(self, driver: Driver, runnable: Any) -> None:
        """A run of this engine rests; it is taken up again when it is due."""
        if self._closed:
            return
        run = driver.text_id
        due = 0.0 if driver.disturbed else None if driver.end is None else driver.end.due
        if run not in self._resting:
            name = runnable.plan.workflow.name
            self._rested_code[name] = (runnable, self._rested_code.get(name, (runnable, 0))[1] + 1)
        self._resting[run] = (runnable, due)
        if due is not None:
            heapq.heappush(self._alarms, (due, run))
            self._set_timer()

    def is_awaited(self, run: str) -> bool:
        """Whether a resting run will go on in this engine by itself."""
        return not self._closed and self._resting.get(run, (None, None))[1] is not None

    def code_of(self, run: str) -> Any:
        """The code of a resting run, if this engine laid it to rest."""
        return self._resting.get(run, (None, None))[0]

    async def next_driver(self, run: str) -> Driver | None:
        """Who drives a resting run next, in this engine; None if another engine took it or this one closes."""
        driver = self._runs.live.get(run)
        if driver is not None or self._closed or run not in self._resting:
            return driver
        waiter: asyncio.Future[Driver | None] = self._loop.create_future()
        self._awaited.setdefault(run, []).append(waiter)
        return await waiter

    def _set_timer(self) -> None:
        first = self._alarms[0][0] if self._alarms else float("inf")
        if first < self._timer_at:
            self._wake_at(first)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = moment
        seconds = min(max(moment - self._around.now(), 0.0) + _LATER, 86_400.0)
        self._timer = self._loop.call_later(seconds, self.look)

    # ---- looking

    def look(self) -> None:
        """See what can be taken up now."""
        if self._closed:
            return
        if self._looking is not None:
            self._again = True
            return
        if self._code or self._resting:
            self._looking = aio.create_task(self._look(), name="laneway adoption")
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and task.exception() is not None:
            log.error("runs could not be taken up: %s", task.exception())
        if self._again:
            self._again = False
            self.look()

    async def _look(self) -> None:
        self._timer_at = float("inf")
        moments: list[float] = []
        try:
            now = self._around.now()
            while self._alarms and self._alarms[0][0] <= now:
                await self._take(heapq.heappop(self._alarms)[1])
            if self._code or self._rested_code:
                moments += await self._take_any()
        except StoreError as error:
            log.warning("runs could not be taken up now: %s", error)
            moments.append(self._around.now() + _PAUSE)
        if self._alarms:
            moments.append(self._alarms[0][0])
        if moments and not self._closed:
            self._wake_at(min(moments))

    async def _take(self, run: str) -> None:
        """Take up a run that this engine laid to rest."""
        runnable = self.code_of(run)
        if runnable is None or run in self._runs.live:
            return
        await self._runs.room()
        try:
            claimed = await self._around.store.claim(run=run)
        except BaseException:
            self._runs.no_room_needed()
            heapq.heappush(self._alarms, (self._around.now() + _PAUSE, run))
            raise
        if claimed:
            self._adopted(run, self._runs.adopt(claimed[0], runnable))
        else:
            self._runs.no_room_needed()
            self._adopted(run, None)

    async def _take_any(self) -> list[float]:
        """Take up what is free of the known workflows; returns when to look again."""
        code = {**{name: known for name, (known, _) in self._rested_code.items()}, **self._code}
        names = list(code)
        while True:
            claimed = await self._around.store.claim(workflows=names, limit=_AT_ONCE)
            for saved in claimed:
                await self._runs.room()
                self.take_up(saved, code[saved.record.workflow])
            if len(claimed) < _AT_ONCE:
                break
        agenda = (await self._around.store.read("agenda", workflows=names))[0]
        now = self._around.now()
        moments = [] if agenda["due"] is None else [agenda["due"]]
        if agenda["leases"] is not None:
            moments.append(now + agenda["leases"])
        if agenda["free"]:
            moments.append(now)
        return moments

    def take_up(self, saved: SavedRun, runnable: Any) -> None:
        """Go on with a claimed run, or lay it aside and say why if its code changed."""
        run = str(UUID(bytes=saved.record.run))
        try:
            check_code(saved, runnable)
        except RunChanged as error:
            log.error("%s", error)
            self._runs.no_room_needed()
            aio.create_task(self._lay_aside(saved.record, error), name=f"lay aside {run}")
        else:
            self._adopted(run, self._runs.adopt(saved, runnable))

    async def _lay_aside(self, record: RunRecord, error: LanewayError) -> None:
        now = self._around.now()
        data = msgspec.json.encode({"reason": str(error)})
        event = EventRow(record.run, "run_paused", None, NO_ITEM, now, data)
        await self.commit(Transition(record.run, [], [event], RunEnd("paused", now, None, None)))

    def taken_up(self, run: str) -> None:
        """A run that rested here goes on, or is over, by somebody's wish."""
        self._adopted(run, self._runs.live.get(run))

    def child_ended(self, run: str, parent: Parent) -> None:
        """A run that a step started is over: wake the step, if its run is driven or rests here."""
        above = str(UUID(bytes=parent.run))
        driver = self._runs.live.get(above)
        if driver is not None:
            driver.signalled(f"run:{run}", b"null")
        elif above in self._resting:
            self._hurry(above)
        else:
            self.look()

    def _hurry(self, run: str) -> None:
        self._resting[run] = (self._resting[run][0], 0.0)
        heapq.heappush(self._alarms, (0.0, run))
        self.look()

    def _adopted(self, run: str, driver: Driver | None) -> None:
        known = self._resting.pop(run, None)
        if known is not None:
            name = known[0].plan.workflow.name
            runnable, number = self._rested_code.pop(name)
            if number > 1:
                self._rested_code[name] = (runnable, number - 1)
        for waiter in self._awaited.pop(run, ()):
            if not waiter.done():
                waiter.set_result(driver)

    # ---- what is asked of runs

    async def signal(self, run: str, name: str, value: bytes) -> None:
        """Send a signal to a run, wherever it is.

        Raises:
            RunNotFound: there is no such run.
        """
        await self._around.artifacts.claim(run, value)
        standing = await self._around.store.ask(run, "signal", name=name, value=value)
        driver = self._runs.live.get(run)
        if driver is not None:
            driver.signalled(name, value)
        elif standing == "free" and run in self._resting:
            self._hurry(run)
        elif standing == "free":
            self.look()

    async def pause(self, run: str) -> None:
        """Let a run's running steps finish and start nothing more of it until it is resumed."""
        driver = self._runs.live.get(run)
        if driver is not None:
            await driver.pause()
            return
        claimed = await self._around.store.claim(run=run)
        if not claimed:
            await self._around.store.ask(run, "pause")
            return
        record, now = claimed[0].record, self._around.now()
        self._adopted(run, None)
        event = EventRow(record.run, "run_paused", None, NO_ITEM, now)
        await self.commit(Transition(record.run, [], [event], RunEnd("paused", now, None, None)))

    async def claimed(self, run: str, *, reopen: bool) -> SavedRun:
        """Take a run that nobody drives.

        Raises:
            RunNotFound: there is no such run.
            RunBusy: a living engine drives it.
        """
        (answer,) = await self._around.store.read("run", run=run)
        found = [] if run in self._runs.live else await self._around.store.claim(run=run, reopen=reopen)
        if not found:
            raise RunBusy(run=run, status=answer["status"])
        self._adopted(run, None)
        return found[0]

    async def retry(
        self, run: str, runnable: Any, *, only_failed: bool, context: Mapping[str, bytes] | None
    ) -> Driver:
        """Run a finished run's steps again: all of them, or what failed and what comes after that."""
        await self._runs.room()
        try:
            saved = await self.claimed(run, reopen=True)
            rows = saved.steps
            forget = forgotten(runnable.plan, rows, only_failed=only_failed)
            changed = None if context is None else _joined(saved.record.context, context)
            await self._around.artifacts.claim(run, changed)
            data = msgspec.json.encode({"only": "failed" if only_failed else "all", "steps": len(forget)})
            event = EventRow(saved.record.run, "run_retried", None, NO_ITEM, self._around.now(), data)
            await self.commit(Transition(saved.record.run, [], [event], None, Reopening(forget, changed)))
        except BaseException:
            self._runs.no_room_needed()
            raise
        gone = set(forget)
        record = saved.record if changed is None else saved.record._replace(context=changed)
        left = [row for row in rows if (row.task, row.item) not in gone]
        return self._runs.adopt(SavedRun(record, left, saved.signals), runnable)

    async def fork(
        self, run: str, runnable: Any, *, from_step: str, context: Mapping[str, bytes] | None, key: str | None
    ) -> tuple[RunRecord, Driver | None]:
        """A new run that starts with another one's steps, all but `from_step` and what comes after it.

        With a key that is known: the run that has it, as it is.
        """
        saved: SavedRun = (await self._around.store.read("saved", run=run))[0]["saved"]
        source = saved.record
        steps = kept_for_fork(runnable.plan, saved.steps, from_step)
        initial = source.context if context is None else _joined(source.context, context)
        submission = Submission(
            uuid7().bytes, source.workflow, runnable.plan.version, runnable.reference, initial, key, self._around.now(),
            runnable.fingerprints, priority=source.priority, tags=source.tags, origin=source.run, steps=steps,
        )  # fmt: skip
        await self._around.artifacts.claim(submission.run, initial, *[row.patch for row in steps])
        await self._runs.room()
        try:
            record = await self._around.store.submit(submission)
        except BaseException:
            self._runs.no_room_needed()
            raise
        if not record.is_new:
            self._runs.no_room_needed()
            return record, self._runs.live.get(str(UUID(bytes=record.run)))
        rows = [row._replace(run=record.run) for row in steps]
        return record, self._runs.adopt(SavedRun(record, rows), runnable)

    async def commit(self, transition: Transition) -> None:
        """Commit what no driver does, and tell who listens."""
        written: asyncio.Future[None] = self._loop.create_future()

        def answered(error: BaseException | None) -> None:
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        self._around.store.commit(transition, answered)
        await written
        for observer in self._around.observers:
            observer.committed_aside(transition)
        self._around.tell(transition.events)

    async def close(self) -> None:
        """Watch no more. Resting runs stay in the store for whoever comes."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for run in list(self._awaited):
            self._adopted(run, None)
        if self._looking is not None:
            await asyncio.wait([self._looking])


def check_code(saved: SavedRun, runnable: Any) -> None:
    """Return if the run can go on with this code.

    Raises:
        RunChanged: tasks it still needs are not what they were.
    """
    if saved.record.status in ENDED:
        return
    changed = changed_tasks(runnable.plan, saved.record.fingerprints, runnable.fingerprints, saved.steps)
    if changed:
        listing = ", ".join(f"task {name!r} {what}" for name, what in changed.items())
        raise RunChanged(run=str(UUID(bytes=saved.record.run)), tasks=sorted(changed), listing=listing)


def _joined(context: bytes, changes: Mapping[str, bytes]) -> bytes:
    parts = {**decode_object(context), **changes}
    return b"{" + b",".join(msgspec.json.encode(key) + b":" + raw for key, raw in parts.items()) + b"}"
