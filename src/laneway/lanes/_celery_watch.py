"""Watching over orders that are under way elsewhere: whose worker was lost, which nobody takes, which got lost."""

import asyncio
import logging
from typing import TYPE_CHECKING

from laneway import aio
from laneway.lanes._celery_link import Link, Listening
from laneway.lanes._celery_parcel import Parcel, failed
from laneway.lanes._celery_wire import shown
from laneway.lanes._stopping import timed_out
from laneway.ports import Outcome

if TYPE_CHECKING:
    from laneway.lanes.celery import CeleryLane

__all__ = ["STOP_SECONDS", "Watch"]

log = logging.getLogger("laneway.lanes.celery")

STOP_SECONDS = 15.0
"""A worker that is told to stop an attempt has its ladder to climb, and answers within this."""
_WATCH_SECONDS = 1.0
_UNTAKEN_SECONDS = 5.0
"""An order that no worker took for so long makes the lane ask who listens."""
_MARK_SECONDS = 30.0
_IDLE_SECONDS = 60.0
"""Connections are closed after so long without orders: an idle engine has nothing to wake up for."""
_DELIVERIES = 3
"""Workers that may be lost with one attempt before it is given up."""


class Watch:
    """Looks once a second while orders are under way; nothing runs while none are.

    Args:
        lane: whose orders.
        patience: seconds that an order may wait for a worker that listens.
        silence: seconds without a sign of life after which a worker is taken for lost.
        outage: seconds that the broker may be away once it was there.
    """

    def __init__(self, lane: CeleryLane, *, patience: float, silence: float, outage: float) -> None:
        self._lane = lane
        self._patience = patience
        self._untaken = min(_UNTAKEN_SECONDS, patience)
        self._silence = silence
        self._outage = outage
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._mark: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._warned: set[str] = set()
        self.resent = 0
        """How often an order had to be sent again."""

    def start(self) -> None:
        """Something is under way from now on."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._timer = None
        lane = self._lane
        link = lane.link
        if not lane.parcels or link is None:
            self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, lane.unlink)
            return
        self.start()
        now = asyncio.get_running_loop().time()
        if lane.lost_since is not None:
            if lane.was_there and now - lane.lost_since > self._outage:
                for parcel in list(lane.parcels.values()):
                    lane.undelivered(parcel, parcel.delivery, lane.lost_why)
            return
        untaken = False
        for parcel in list(lane.parcels.values()):
            if parcel.future.done():
                continue
            if parcel.begun:
                self._look_after(link, parcel, now)
            elif parcel.posted and now - parcel.waited_since > self._untaken:
                untaken = True
        if untaken and self._looking is None:
            self._looking = aio.create_task(self._look_for_workers(link), name="celery workers")

    def _look_after(self, link: Link, parcel: Parcel, now: float) -> None:
        """One that a worker took: does the worker live, and is the attempt within its time?"""
        task = parcel.order.task
        if now - parcel.seen > self._silence:
            if len(parcel.deliveries) >= _DELIVERIES:
                message = (
                    f"{_DELIVERIES} workers in a row were lost while they ran task {task.id!r}, "
                    f"the last one {parcel.worker}"
                )
                self._lane.settle(parcel, failed("lost_lane", "WorkerLost", message, worker=parcel.worker))
                link.revoke(parcel.deliveries[:])
                return
            log.warning(
                "worker %s is silent since %g s: %s is sent again",
                parcel.worker,
                now - parcel.seen,
                parcel.id,
            )
            self._again(link, parcel)
            return
        limit = task.timeout
        if limit is None or now - parcel.begun < limit + STOP_SECONDS:
            return
        if not parcel.overdue:
            parcel.overdue = True
            link.revoke([parcel.delivery])
        elif now - parcel.begun > limit + 2 * STOP_SECONDS:
            body = timed_out(task.id, limit, "quarantine")
            spent = now - parcel.begun
            late = Outcome("failure", body, 0.0, spent, self._lane.name, parcel.worker, "quarantine")
            self._lane.settle(parcel, late)

    def _again(self, link: Link, parcel: Parcel) -> None:
        self.resent += 1
        link.revoke([parcel.delivery])
        self._lane.post(link, parcel)

    async def _look_for_workers(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            waiting = {one.queue for one in self._lane.parcels.values() if not one.begun}
            for name in sorted(waiting):
                found = await loop.run_in_executor(None, link.listening, name)
                async with asyncio.timeout(_MARK_SECONDS):  # what workers said until now is heard before it
                    await self._marked(link)
                self._consider(link, name, found)
        except Exception as error:  # noqa: BLE001 - transports raise what their drivers raise; the next look tells
            log.debug("the broker did not say who listens: %s", error)
        finally:
            self._looking = None

    async def _marked(self, link: Link) -> None:
        self._mark = asyncio.get_running_loop().create_future()
        link.mark()
        await self._mark

    def heard_mark(self) -> None:
        """The lane's own word came back through its queue of replies."""
        if self._mark is not None and not self._mark.done():
            self._mark.set_result(None)

    def _consider(self, link: Link, name: str, found: Listening) -> None:
        """What to do about orders in a queue that no worker took."""
        now = asyncio.get_running_loop().time()
        broker = shown(link.broker)
        if found.workers:
            self._warned.discard(name)
        for parcel in list(self._lane.parcels.values()):
            waited = now - parcel.waited_since
            if parcel.queue != name or parcel.begun or not parcel.posted or parcel.future.done():
                continue
            if waited < self._untaken:
                continue
            if found.workers and found.waiting:
                parcel.waited_since, parcel.suspected = now, 0.0  # they are busy
            elif found.workers and not parcel.suspected:  # a worker may be about to say that it has it
                parcel.waited_since = parcel.suspected = now
            elif found.workers:  # it is not in the queue and nobody has it: the broker lost it
                log.warning("%s got lost on its way and is sent again", parcel.id)
                self._again(link, parcel)
            elif waited > self._patience:
                message = f"{_nobody(name, broker)} (task {parcel.order.task.id!r} waited {waited:.0f} s)"
                self._lane.settle(parcel, failed("lost_lane", "NoWorker", message))
                link.revoke([parcel.delivery])
            elif name not in self._warned:
                self._warned.add(name)
                log.warning("%s", _nobody(name, broker))


def _nobody(queue: str, broker: str) -> str:
    short = queue.removeprefix("laneway.")
    return f"no worker listens on the queue {short!r} of {broker}; start one: laneway worker --queue {short}"
