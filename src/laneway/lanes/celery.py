"""The Celery lane: attempts on other machines, through any broker that Celery supports. Imports Celery when used."""

import asyncio
import logging
import os
import time
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import msgspec

from laneway._core.errors import LanewayError
from laneway._core.model import TaskSpec
from laneway.lanes._celery_link import Link
from laneway.lanes._celery_parcel import Parcel, failed, order_id
from laneway.lanes._celery_watch import STOP_SECONDS, Watch
from laneway.lanes._celery_wire import MAX_BYTES, Word, order_text, queue_named, queue_of, shown
from laneway.lanes._fleet import Fleet
from laneway.lanes._reach import unreachable
from laneway.lanes._stopping import timed_out
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["CeleryLane"]

log = logging.getLogger("laneway.lanes.celery")

_LATE_SECONDS = 0.3
"""What is called back before any worker took it may have been taken in the same moment."""
_LEFT_SECONDS = 900.0
"""For how long a package is surely where it was left: half of what `laneway.packages.depot` promises."""


class CeleryLane:
    """Sends orders to the workers that `laneway worker` starts, and waits for their outcomes.

    Args:
        fleet: tells the broker's URL, where `broker` does not.
        broker: any URL that Celery understands, such as `redis://host:6379/0` or `amqp://user:password@host//`.
        patience: seconds that an order may wait for the broker, and for a worker that listens.
        silence: seconds without a sign of life after which a worker is taken for lost, and its orders sent again.
        outage: seconds that the broker may be away once it was there, before what waits for it fails.
    """

    name = "celery"
    capabilities = Capabilities(
        parallel=True, isolated=True, stops="kills", remote=True, max_payload=MAX_BYTES
    )

    def __init__(
        self,
        fleet: Fleet,
        *,
        broker: str | None = None,
        patience: float | None = None,
        silence: float = 10.0,
        outage: float = 300.0,
    ) -> None:
        self._broker = fleet.broker if broker is None else broker
        self._patience = fleet.broker_patience if patience is None else patience
        self._fleet = fleet
        self._left: dict[tuple[str, str], float] = {}
        """Until when packages are safe where they were left for a workflow, in seconds since the epoch."""
        self._leaving = asyncio.Lock()
        self.parcels: dict[str, Parcel] = {}
        self.link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lost_since: float | None = None
        """Loop time when the connection was lost; None while it is there."""
        self.lost_why = ""
        self.was_there = False
        self._outage = outage
        self._watch = Watch(self, patience=self._patience, silence=silence, outage=outage)
        self._closed = False

    # ---- the port

    async def open(self) -> None:
        """Take the running loop; the broker is asked for with the first order."""
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt; see `laneway.ports.Lane.run`."""
        if len(order.payload) > MAX_BYTES:
            return _too_large(order)
        loop = self._loop
        if loop is None or self._closed:
            return failed("lost_lane", "LaneError", "the celery lane is closed")
        if order.unit.kind == "package":
            await self._leave(order)
        link = self._linked(loop)
        parcel = Parcel(
            order_id(order), order, order_text(order), queue_named(queue_of(order.task)), loop.create_future()
        )
        self.parcels[parcel.id] = parcel
        self.post(link, parcel)
        self._watch.start()
        try:
            return await parcel.future
        except asyncio.CancelledError as cancelled:
            if not parcel.future.cancelled():
                raise  # the outcome was there already
            await self._stop(link, parcel)
            cancelled.stopped_by = parcel.rung  # type: ignore[attr-defined]  # for whoever records the attempt
            raise
        finally:
            self.parcels.pop(parcel.id, None)

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Without Celery or a broker nothing can run; scripts and closures cannot be found on another machine."""
        if not self._broker:
            return (
                "no broker is set: give Engine(broker='redis://HOST/0') or set LANEWAY_CELERY_BROKER, "
                "and start workers with `laneway worker`"
            )
        if find_spec("celery") is None:
            return "Celery is not installed: pip install 'laneway[celery]'"
        if unit.kind == "script":
            return (
                "it lives in a script, which a worker on another machine cannot find: move it to a module "
                "that workers can import, or to a package"
            )
        return unreachable(unit, task)

    def health(self) -> LaneHealth:
        """Workers that have orders of this engine, and what waits for one."""
        taken = [one for one in self.parcels.values() if one.begun]
        now = self._loop.time() if self._loop is not None else 0.0
        workers: dict[str, dict[str, Any]] = {}
        for parcel in taken:
            found = workers.setdefault(
                parcel.worker,
                {"worker": parcel.worker, "unit": "", "state": "running", "silent": 0.0, "attempts": []},
            )
            found["silent"] = round(max(found["silent"], now - parcel.seen), 3)
            found["attempts"].append(
                {
                    "run": parcel.order.run,
                    "task": parcel.order.task.id,
                    "key": parcel.order.item,
                    "state": "running",
                    "age": round(now - parcel.begun, 3),
                    "rung": parcel.rung,
                }
            )
        quarantined = sum(1 for one in taken if one.rung == "quarantine")
        queued = len(self.parcels) - len(taken)
        return LaneHealth("celery", [*workers.values()], queued, len(taken), quarantined, self._watch.resent)

    async def retire(self, unit_key: str) -> None:
        """Wait for what this engine sent of that unit; workers close what is idle by themselves."""
        left = [one.future for one in self.parcels.values() if one.order.unit.key == unit_key]
        if left:
            await asyncio.wait(left)

    async def close(self, *, grace: float) -> None:
        """Let orders finish within `grace` seconds, then call back what is left. Idempotent."""
        if self._closed:
            return
        self._closed = True
        left = [one.future for one in self.parcels.values() if not one.future.done()]
        if left and grace > 0:
            await asyncio.wait(left, timeout=grace)
        self._watch.stop()
        link, self.link = self.link, None
        if link is None:
            return
        unfinished = [one for one in self.parcels.values() if not one.future.done()]
        if unfinished:
            link.revoke([one.delivery for one in unfinished], patience=1.0)
        for one in unfinished:
            self.settle(one, failed("lost_lane", "LaneError", "the engine is closing its lanes"))
        await asyncio.get_running_loop().run_in_executor(None, link.close)

    # ---- sending

    async def _leave(self, order: StepOrder) -> None:
        """Have a package left where workers find it, before the first order for it goes out, and now and then again."""
        publish, use = self._fleet.publish, (order.unit.key, order.workflow)
        if publish is None or time.time() < self._left.get(use, 0.0):
            return
        async with self._leaving:
            if time.time() >= self._left.get(use, 0.0):
                try:
                    await publish(order.unit, order.workflow)
                except LanewayError as error:  # workers may have it all the same
                    log.warning("the package %s could not be left in the store: %s", order.unit.name, error)
                self._left[use] = time.time() + _LEFT_SECONDS

    def _linked(self, loop: asyncio.AbstractEventLoop) -> Link:
        if self.link is None:

            def heard(word: Word) -> None:
                self._call(loop, self._heard, word)

            def changed(reason: str) -> None:
                self._call(loop, self._changed, reason)

            name = f"laneway.replies.{os.getpid()}.{uuid4().hex[:12]}"
            self.lost_since = loop.time()
            self.link = Link(self._broker, name, heard, changed)
        return self.link

    def unlink(self) -> None:
        """Close the connections until the next order; nothing is under way."""
        if self.parcels:
            return
        link, self.link = self.link, None
        if link is not None:
            asyncio.get_running_loop().run_in_executor(None, link.close)

    @staticmethod
    def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(function, *arguments)

    def post(self, link: Link, parcel: Parcel) -> None:
        loop = asyncio.get_running_loop()
        delivery = parcel.next_delivery()

        def sent() -> None:
            parcel.posted = parcel.waited_since = loop.time()

        def undelivered(reason: str) -> None:
            self._call(loop, self.undelivered, parcel, delivery, reason)

        patience = self._outage if self.was_there else self._patience
        link.send(delivery, parcel.queue, parcel.text, patience=patience, sent=sent, failed=undelivered)

    def undelivered(self, parcel: Parcel, delivery: str, reason: str) -> None:
        if parcel.delivery == delivery:
            message = (
                f"the broker {shown(self._broker)} cannot be reached ({reason}). Start it, or set "
                "LANEWAY_CELERY_BROKER to one that runs"
            )
            self.settle(parcel, failed("lost_lane", "BrokerUnreachable", message))

    # ---- hearing

    def _changed(self, reason: str) -> None:
        """The connection is there again, or was lost."""
        loop = asyncio.get_running_loop()
        if not reason:
            came_back = self.was_there and self.lost_since is not None
            if came_back:
                log.warning("the broker %s is there again", shown(self._broker))
            self.was_there = True
            self.lost_since = None
            for parcel in self.parcels.values():  # nobody could be heard meanwhile
                parcel.seen = parcel.waited_since = loop.time()
                parcel.suspected = loop.time() if came_back else 0.0
        elif self.lost_since is None:
            self.lost_since, self.lost_why = loop.time(), reason
            log.warning(
                "the connection to the broker %s was lost (%s); %d orders wait for it",
                shown(self._broker),
                reason,
                len(self.parcels),
            )

    def _heard(self, word: Word) -> None:
        if word.kind == "alive":
            for delivery in word.deliveries:
                self._alive(delivery, word.worker)
            return
        if word.kind == "mark":
            self._watch.heard_mark()
            return
        parcel = self.parcels.get(word.delivery.rpartition("#")[0])
        if word.kind == "began":
            self._alive(word.delivery, word.worker)
        elif parcel is None:
            return
        elif parcel.is_over and not parcel.unwanted:
            parcel.has_ended = True  # what it answers when its waiting was cancelled in the same moment
        elif word.kind == "released":
            if parcel.delivery == word.delivery and self.link is not None and not parcel.unwanted:
                self.post(self.link, parcel)
            elif parcel.unwanted:
                self._ended(parcel, "")
        elif word.kind == "outcome":
            outcome = parcel.outcome(word, self.name)
            if parcel.unwanted:
                self._ended(parcel, outcome.stopped_by)
            elif outcome.kind != "stopped" or parcel.delivery == word.delivery:
                self.settle(parcel, _judged(parcel, outcome))
                self._call_back([one for one in parcel.deliveries if one != word.delivery])

    def _alive(self, delivery: str, worker: str) -> None:
        parcel = self.parcels.get(delivery.rpartition("#")[0])
        if parcel is None or parcel.delivery != delivery or (parcel.is_over and not parcel.unwanted):
            self._call_back([delivery])  # nobody waits for it any more
            return
        now = asyncio.get_running_loop().time()
        parcel.begun = parcel.begun or now
        parcel.seen = now
        parcel.worker = worker
        parcel.changed.set()

    def _call_back(self, deliveries: list[str]) -> None:
        if deliveries and self.link is not None:
            self.link.revoke(deliveries)

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        if not parcel.future.done():
            parcel.future.set_result(outcome)
        parcel.changed.set()

    def _ended(self, parcel: Parcel, rung: str) -> None:
        parcel.rung = rung
        parcel.unwanted = False
        parcel.changed.set()

    # ---- stopping

    async def _stop(self, link: Link, parcel: Parcel) -> None:
        """Nobody waits for it any more: revoke it, and wait until its worker says that it is over."""
        if parcel.has_ended:
            return
        loop = asyncio.get_running_loop()
        parcel.unwanted = True
        begun = parcel.begun
        link.revoke(parcel.deliveries[:])
        end = loop.time() + (STOP_SECONDS if parcel.begun else _LATE_SECONDS)
        while parcel.unwanted and (left := end - loop.time()) > 0:
            parcel.changed.clear()
            try:
                await asyncio.wait_for(parcel.changed.wait(), left)
            except TimeoutError:
                break
            except asyncio.CancelledError:
                continue
            end = max(end, parcel.begun + STOP_SECONDS) if parcel.begun > begun else end
        if parcel.unwanted and parcel.begun:
            parcel.rung = "quarantine"
            log.warning(
                "worker %s did not say within %g s that it stopped %s",
                parcel.worker,
                STOP_SECONDS,
                parcel.id,
            )


def _judged(parcel: Parcel, outcome: Outcome) -> Outcome:
    """An attempt that was stopped although somebody waits for it: by hand, or because it was long overdue."""
    if outcome.kind != "stopped" or not parcel.overdue:
        return outcome
    rung = outcome.stopped_by or "kill"
    body = timed_out(parcel.order.task.id, parcel.order.task.timeout, rung)
    return msgspec.structs.replace(outcome, kind="failure", body=body, stopped_by=rung)


def _too_large(order: StepOrder) -> Outcome:
    message = (
        f"task {order.task.id!r} would get {len(order.payload):,} bytes of input; the celery lane carries "
        f"{MAX_BYTES:,}. Pass a reference to shared storage instead, or use a lane of this machine"
    )
    return failed("other", "PayloadTooLarge", message)
