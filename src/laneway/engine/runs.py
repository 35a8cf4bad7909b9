"""The live runs of one engine: starting, adopting, cancelling and closing them, and the lease they hang on."""

import asyncio
from collections.abc import Mapping
from functools import partial
from uuid import uuid7

import msgspec

from laneway import aio
from laneway._core.changes import given_up
from laneway._core.context import decode_object
from laneway._core.errors import LanewayError, StoreFenced, StoreUnavailable
from laneway._core.plan import check_context
from laneway._core.records import ENDED, Parent, RunRecord, SavedRun, Submission
from laneway._core.rows import run_text
from laneway._core.transitions import RunState, restored
from laneway.engine.adoption import Adoption, check_code
from laneway.engine.dispatch import Driver
from laneway.engine.door import Door
from laneway.engine.run_limits import Entry
from laneway.engine.surroundings import Surroundings, log
from laneway.engine.target import Runnable
from laneway.engine.traffic import Traffic
from laneway.ports import EngineCard

__all__ = ["LEASE", "Runs"]

LEASE = 15.0
"""Seconds an engine may be silent before others take its runs over."""


class Runs:
    """Everything this engine drives right now.

    Args:
        around: store, lanes, time.
        card: this engine as others see it.
        max_runs: how many runs may be live at once.
        traffic: who may go on.
        code: workflows by name whose runs are taken up from dead engines and when they are due.
    """

    def __init__(
        self,
        around: Surroundings,
        card: EngineCard,
        *,
        max_runs: int,
        lease: float = LEASE,
        traffic: Traffic | None = None,
        code: Mapping[str, Runnable] = {},
    ) -> None:
        self.live: dict[str, Driver] = {}
        self._around = around
        self._card = card
        traffic = Traffic() if traffic is None else traffic
        traffic.live = self.live
        self._door = Door(around, traffic, self.live, most=max_runs)
        self._room = self._door.room
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._heart: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self.is_closing = False
        self._birth = asyncio.Lock()
        self.adoption = Adoption(around, self, code)

    async def open(self) -> None:
        """Register with the store, which then tells when others left something."""
        await self._around.store.open(self._card, lease=self._lease, nudged=self._nudged)

    async def start(
        self,
        runnable: Runnable,
        context: bytes,
        *,
        key: str | None,
        wait: bool = True,
        deferred: bool = False,
        tags: Mapping[str, str] = {},
        priority: int = 0,
        deadline: float | None = None,
        parent: Parent | None = None,
    ) -> tuple[RunRecord, Driver | None]:
        """Record a run and begin it. With a known key: the run that has it, adopted if nobody drives it.

        Who is cancelled while waiting for room leaves nothing. Who is cancelled while the run is being recorded leaves
        a run that goes on, as nobody can tell whether it is recorded already; a nested one is cancelled with its step.

        Raises:
            Backpressure: there is no room and `wait` is False.
        """
        check_context(runnable.plan, values := decode_object(context))
        submission = Submission(
            uuid7().bytes,
            runnable.plan.workflow.name,
            runnable.plan.version,
            runnable.reference,
            context,
            key,
            self._around.now(),
            runnable.fingerprints,
            priority=priority,
            deadline=deadline,
            tags=tags,
            parent=parent,
        )
        if not self.is_closing and (there := await self._door.at_hand(submission, values)) is not None:
            return there
        self._door.knock(wait=wait, is_nested=parent is not None)
        await self._around.artifacts.claim(submission.run, context)
        entry = await self._door.enter(submission, values, wait=wait)
        if key is None:
            try:
                return await self._recorded_meanwhile(submission, values, runnable, entry, deferred=deferred)
            finally:
                self._door.passed(entry)
        recording = aio.create_task(
            self._recorded_first(submission, values, runnable, entry, deferred=deferred), name="record run"
        )
        try:
            return await asyncio.shield(recording)
        except asyncio.CancelledError:
            if parent is not None and not self.is_closing:
                _, driver = await recording
                if driver is not None:
                    await driver.cancel()
            raise

    async def _recorded_first(
        self,
        submission: Submission,
        values: dict[str, bytes],
        runnable: Runnable,
        entry: Entry | None,
        *,
        deferred: bool,
    ) -> tuple[RunRecord, Driver | None]:
        """Record a run with a key that there is room for, and begin it if no other run has the key."""
        try:
            record = await self._submitted(submission)
            if not record.is_new:
                return record, await self._joined(record, runnable, entry)
            state = RunState(runnable.plan, values)
            driver = self._drive(submission, state, runnable, entry, deferred=deferred)
        except BaseException:
            self._room.release()
            raise
        finally:
            self._door.passed(entry)
        driver.begin(driver.state.first())
        return record, driver

    async def _recorded_meanwhile(
        self,
        submission: Submission,
        values: dict[str, bytes],
        runnable: Runnable,
        entry: Entry | None,
        *,
        deferred: bool,
    ) -> tuple[RunRecord, Driver | None]:
        """Begin a run without a key while it is being recorded: no other run can have it, so nothing need be asked.

        What its first steps produce commits with the record or after it, never before.
        """
        state = RunState(runnable.plan, values)
        driver = self._drive(submission, state, runnable, entry, deferred=deferred)
        recording = aio.create_task(self._submitted(submission), name="record run", eager_start=True)
        driver.begin(state.first())
        try:
            record = recording.result() if recording.done() else await asyncio.shield(recording)
        except asyncio.CancelledError:
            recording.add_done_callback(partial(_abandoned_if_failed, driver))
            raise
        except BaseException as error:
            driver.abandon(error)
            raise
        if driver.failure is None:
            return record, driver
        # The lease was lost in between: the record is new, the steps that ran meanwhile were not kept.
        return record, await self.resume(driver.text_id, runnable)

    async def _submitted(self, submission: Submission) -> RunRecord:
        try:
            return await self._around.store.submit(submission)
        except StoreFenced as error:
            await self._reborn(error)
            return await self._around.store.submit(submission)

    async def _joined(self, record: RunRecord, runnable: Runnable, entry: Entry | None) -> Driver | None:
        """The driver of a run that was there already, adopting it if its engine is gone. Gives back the room if not."""
        text_id = run_text(record.run)
        driver = self.live.get(text_id)
        if driver is None and record.status not in ENDED:
            claimed = await self._claimed(text_id, runnable, force=False)
            if claimed is not None:
                return self.adopt(claimed, runnable, entry)
        self._room.release()
        return driver

    async def _claimed(self, run: str, runnable: Runnable, *, force: bool) -> SavedRun | None:
        """Take a run that nobody drives; None if somebody does or it is over.

        Raises:
            RunChanged: its code is not what it was, and `force` is False. It stays as it is.
        """
        if not force:
            saved = (await self._around.store.read("saved", run=run))[0]["saved"]
            check_code(saved, runnable)
        claimed = await self._around.store.claim(run=run)
        return claimed[0] if claimed else None

    async def resume(self, run: str, runnable: Runnable, *, force: bool = False) -> Driver | None:
        """Go on with a run that no living engine drives; None if there is nothing to go on with.

        Raises:
            RunChanged: tasks it still needs have other code now, and `force` is False.
        """
        driver = self.live.get(run)
        if driver is not None:
            return driver
        await self._room.acquire()
        try:
            claimed = await self._claimed(run, runnable, force=force)
        except BaseException:
            self._room.release()
            raise
        if claimed is None:
            self._room.release()
            return None
        self.adoption.taken_up(run)
        return self.adopt(claimed, runnable)

    async def room(self) -> None:
        """Wait for room for one more run."""
        await self._room.acquire()

    def no_room_needed(self) -> None:
        """Give that room back."""
        self._room.release()

    def adopt(self, saved: SavedRun, runnable: Runnable, entry: Entry | None = None) -> Driver:
        """Drive a claimed run; takes the room. It begins when limits let it, at once if it was let in already."""
        if (driver := self.live.get(run_text(saved.record.run))) is not None:
            self._room.release()  # it was claimed twice, such as by a wish while it was being taken up anyway
            return driver
        state, ready = restored(runnable.plan, decode_object(saved.record.context), saved.steps)
        driver = self._drive(saved.record, state, runnable, entry, taken_over=True)
        driver.signals.update({one.name: one.value for one in saved.signals})
        if entry is None:
            self._door.begin(driver, ready, deadline=saved.record.deadline)
        else:
            driver.begin(ready)
        return driver

    def _drive(
        self,
        record: RunRecord | Submission,
        state: RunState,
        runnable: Runnable,
        entry: Entry | None,
        *,
        deferred: bool = False,
        taken_over: bool = False,
    ) -> Driver:
        text_id = run_text(record.run)
        driver = Driver(
            self._around,
            record.run,
            text_id,
            state,
            runnable.units,
            runnable.lanes,
            self._left,
            deferred=deferred,
            correlation_id=record.tags.get("correlation_id", ""),
            tags=record.tags,
            deadline=record.deadline,
            parent=record.parent,
        )
        driver.priority = record.priority
        driver.runnable = runnable
        self.live[text_id] = driver
        self._door.drive(entry, driver)
        for observer in self._around.observers:
            observer.run_started(driver, taken_over=taken_over)
        if self._heart is None:
            self._heart = self._loop.call_later(self._lease / 3, self._beat)
        return driver

    def _left(self, run: str) -> None:
        driver = self.live.pop(run, None)
        if driver is not None:
            self._room.release()
            if driver.status == "suspended":
                self.adoption.rested(driver, driver.runnable)
            elif driver.parent is not None and driver.status in ENDED:
                self.adoption.child_ended(driver.text_id, driver.parent)

    # ---- the lease

    def _nudged(self) -> None:
        """Somebody left something for this engine: look now rather than with the next beat."""
        if self.is_closing:
            return
        self.adoption.look()
        if self._beating is None:
            self._beating = aio.create_task(self._renew(), name="laneway heartbeat")

    def _beat(self) -> None:
        """Renew the lease while there are runs. An engine without runs is silent; handing over renews it too."""
        self._heart = None
        if not self.live or self.is_closing:
            return
        self._heart = self._loop.call_later(self._lease / 3, self._beat)
        if self._beating is None:
            self._beating = aio.create_task(self._renew(), name="laneway heartbeat")

    async def _renew(self) -> None:
        try:
            for wish in await self._around.store.renew(lease=self._lease):
                driver = self.live.get(wish.run)
                if driver is None:
                    continue
                if wish.wish == "cancel":
                    aio.create_task(driver.cancel(), name=f"cancel {wish.run}")
                elif wish.wish == "pause":
                    aio.create_task(driver.pause(), name=f"pause {wish.run}")
                elif wish.wish == "signal":
                    driver.signalled(wish.name, wish.value or b"null")
        except StoreFenced as error:
            await self._reborn(error)
        except StoreUnavailable as error:
            log.error("the lease could not be renewed: %s", error)
        finally:
            self._beating = None

    async def _reborn(self, error: LanewayError) -> None:
        """The lease is lost: leave all runs to whoever has them now, and go on under a new name."""
        async with self._birth:
            if error.fields.get("engine") != self._card.id:
                return  # somebody else saw the same loss first, and this engine has a new name already
            log.error("%s", error)
            for driver in list(self.live.values()):
                driver.abandon(error)
            self._card = msgspec.structs.replace(self._card, id=str(uuid7()))
            await self.open()

    # ---- the end

    async def cancel(self, run: str) -> None:
        """Cancel a run: here, or by asking the engine that drives it; one that nobody drives ends right away."""
        await self._cancel_one(run)
        for inner in await self._around.store.read("runs", parent=run, limit=100_000):
            if inner["status"] not in ENDED:
                await self.cancel(inner["id"])

    async def _cancel_one(self, run: str) -> None:
        driver = self.live.get(run)
        if driver is not None:
            await driver.cancel()
            return
        claimed = await self._around.store.claim(run=run)
        if not claimed:
            await self._around.store.ask(run, "cancel")
            return
        code = self.adoption.code_of(run)
        self.adoption.taken_up(run)
        plan = None if code is None else code.plan
        await self.adoption.commit(given_up(claimed[0], plan, self._around.now()))

    async def close(self, grace: float) -> None:
        """Stop driving: running steps get `grace` seconds; what is unfinished can be resumed later."""
        self.is_closing = True
        self._door.close()
        await self.adoption.close()
        drivers = list(self.live.values())
        if drivers:
            stopping = [
                aio.create_task(one.shut_down(grace), name=f"shut down {one.text_id}") for one in drivers
            ]
            await asyncio.wait(stopping)
            for one in stopping:
                one.result()
        if self._heart is not None:
            self._heart.cancel()
        if self._beating is not None:
            await asyncio.wait([self._beating])


def _abandoned_if_failed(driver: Driver, recording: asyncio.Task[RunRecord]) -> None:
    """Let go of a run that could not be recorded and that nobody waits for any more."""
    error = None if recording.cancelled() else recording.exception()
    if error is not None:
        log.error("run %s could not be recorded: %s", driver.text_id, error)
        driver.abandon(error)
