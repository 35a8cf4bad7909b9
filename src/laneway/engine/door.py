"""The way into an engine: room for so many runs, limits, and what need not come in because it is there already."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from laneway import aio
from laneway._core.errors import Backpressure
from laneway._core.records import ENDED, Parent, RunRecord, Submission
from laneway._core.rows import run_text
from laneway.engine.dispatch import Driver
from laneway.engine.gates import Gate
from laneway.engine.refusals import EngineClosed
from laneway.engine.run_limits import Entry
from laneway.engine.surroundings import Surroundings
from laneway.engine.traffic import Traffic

__all__ = ["Door"]


class Door:
    """Lets runs into one engine.

    Args:
        around: the store, who is told of crowds.
        traffic: limits, and whose turn it is.
        live: the live runs by id.
        most: how many may be live at once.
    """

    def __init__(
        self, around: Surroundings, traffic: Traffic, live: Mapping[str, Driver], *, most: int
    ) -> None:
        self.room = Gate(most)
        self._around = around
        self._traffic = traffic
        self._live = live
        self._is_closed = False

    def close(self) -> None:
        """Let nobody in any more; those who wait are told when their turn comes."""
        self._is_closed = True

    def knock(self, *, wait: bool, is_nested: bool) -> None:
        """Tell of a crowd, and refuse whoever does not want to wait in it.

        Raises:
            EngineClosed: the engine is being closed. Steps that finish meanwhile may still begin runs.
            Backpressure: there is no room and `wait` is False.
        """
        if is_nested:
            return
        if self._is_closed:
            raise EngineClosed()
        if not self.room.locked():
            return
        for observer in self._around.observers:
            observer.crowded(refused=not wait)
        if not wait:
            raise Backpressure(waiting=len(self._live), limit=self.room.size)

    async def at_hand(
        self, submission: Submission, values: Mapping[str, bytes]
    ) -> tuple[RunRecord, Driver | None] | None:
        """The run with that key, if the way in is crowded and nothing has to begin: it is over, or driven here."""
        limits = self._traffic.run_limits
        is_full = limits is not None and limits.is_crowded(submission.workflow, values)
        if submission.key is None or not (is_full or self.room.locked()):
            return None
        found = await self._around.store.read("runs", key=submission.key, limit=1)
        if not found or found[0]["workflow"] != submission.workflow:
            return None
        driver = self._live.get(found[0]["id"])
        if driver is None and found[0]["status"] not in ENDED:
            return None
        record: RunRecord = (await self._around.store.read("saved", run=found[0]["id"]))[0]["saved"].record
        return record, driver

    async def enter(self, submission: Submission, values: Mapping[str, bytes], *, wait: bool) -> Entry | None:
        """Wait until limits and room let a new run in; it has the room then. `passed` must follow.

        A run above a nested one waits for it: to wait for room here could be for ever, so it takes some there is not.

        Raises:
            Backpressure: a limit is reached and `wait` is False.
            EngineClosed: the engine was closed meanwhile.
        """
        entry = await self._let_in(submission, values, wait=wait)
        if self._is_closed and submission.parent is None:
            self.room.release()
            self.passed(entry)
            raise EngineClosed()
        return entry

    async def _let_in(
        self, submission: Submission, values: Mapping[str, bytes], *, wait: bool
    ) -> Entry | None:
        limits, parent = self._traffic.run_limits, submission.parent
        priority = submission.priority
        if limits is None:
            if parent is None:
                await self.room.acquire(priority=priority, key=self._traffic.fair_key(values))
            else:
                self.room.inside += 1
            return None
        entry = await limits.enter(
            run_text(submission.run),
            _above(parent),
            submission.workflow,
            values,
            wait=wait,
            priority=priority,
            is_needed=parent is not None,
        )
        if parent is not None:
            self.room.inside += 1
            return entry
        try:
            key = self._traffic.fair_key(values)
            await limits.take_room(entry, self.room, priority=priority, key=key)
        except BaseException:
            limits.leave(entry)
            raise
        return entry

    def passed(self, entry: Entry | None) -> None:
        """The start is over: places that no driver took on are free again."""
        if entry is not None and not entry.is_driven and self._traffic.run_limits is not None:
            self._traffic.run_limits.leave(entry)

    def drive(self, entry: Entry | None, driver: Driver) -> None:
        """The run's places are its driver's for as long as that drives."""
        limits = self._traffic.run_limits
        if entry is None or limits is None:
            return
        entry.is_driven = True
        limits.is_run(entry, driver.text_id)
        driver.on_close.append(lambda: limits.leave(entry))

    def begin(self, driver: Driver, ready: Sequence[int], *, deadline: float | None) -> None:
        """Begin a run that was taken up, now or once limits let it. Until then it is driven, but does nothing."""
        limits = self._traffic.run_limits
        if limits is None:
            driver.begin(ready)
            return
        entry = limits.enter_now(
            driver.text_id, _above(driver.parent), driver.plan.workflow.name, driver.state.initial
        )
        if entry is None:
            waiting = aio.create_task(
                self._begin_later(driver, ready, deadline), name=f"let in {driver.text_id}"
            )
            driver.on_close.append(partial(_give_up, waiting))
            return
        self.drive(entry, driver)
        driver.begin(ready)

    async def _begin_later(self, driver: Driver, ready: Sequence[int], deadline: float | None) -> None:
        limits = self._traffic.run_limits
        if limits is None:
            return
        left = None if deadline is None else max(deadline - self._around.now(), 0.0)
        try:
            async with asyncio.timeout(left):
                entry = await limits.enter(
                    driver.text_id,
                    _above(driver.parent),
                    driver.plan.workflow.name,
                    driver.state.initial,
                    priority=driver.priority,
                    is_needed=True,
                )
        except TimeoutError:
            driver.begin(())  # sees that its deadline has passed
            return
        self.drive(entry, driver)
        if driver.status is None and not driver.stopping:
            driver.begin(ready)


def _give_up(waiting: asyncio.Task[None]) -> None:
    waiting.cancel()


def _above(parent: Parent | None) -> str | None:
    return None if parent is None else run_text(parent.run)
