"""A Celery worker that runs Laneway's orders: Celery brings them, lanes on this machine run them."""

import asyncio
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from socket import gethostname
from typing import Any, Protocol

import msgspec

from laneway import aio
from laneway._core.errors import LanewayError
from laneway._core.failures import failure_of, failure_record
from laneway._core.model import TaskSpec
from laneway.lanes._celery_outbox import Outbox
from laneway.lanes._celery_wire import (
    ATTEMPT,
    MAX_BYTES,
    Word,
    celery_app,
    order_from,
    outcome_text,
    queue_named,
)
from laneway.lanes._codec import failure_body
from laneway.lanes._fleet import Fleet
from laneway.ports import Lane, Outcome, StepOrder, Unit

__all__ = ["CeleryWorker"]

log = logging.getLogger("laneway.worker")

_LAST_WORDS_SECONDS = 5.0
_REMEMBERED = 10_000


class _Taken(msgspec.Struct, eq=False):
    """An order that this worker has."""

    delivery: str
    reply_to: str
    done: Future[None]
    task: asyncio.Task[None] | None = None
    released: bool = False


class Keeper(Protocol):
    """Runs orders of engines that share a store with this worker."""

    async def open(self) -> None:
        """Get ready on the worker's event loop."""
        ...

    async def run(self, lane: Lane, order: StepOrder) -> Outcome:
        """`lane.run(order)`, with its artifacts."""
        ...

    async def close(self) -> None:
        """Leave the store."""
        ...


class CeleryWorker:
    """Takes orders from queues and runs them on lanes of this machine, as an engine here would.

    Args:
        broker: its URL.
        queues: of `io` and `cpu`.
        concurrency: orders that are taken at once.
        fleet: where code is loaded.
        lanes: by name what runs orders here.
        locate: gives the unit as it is found on this machine; raises LanewayError where it is not.
        choose: gives the name of the lane for a task; may block.
        keeper: runs them with their artifacts; None where the worker has no store.
        grace: seconds that running orders may go on when the worker ends.
        ready: called once orders can come.
    """

    def __init__(
        self,
        broker: str,
        *,
        queues: Sequence[str],
        concurrency: int,
        fleet: Fleet,
        lanes: Mapping[str, Lane],
        locate: Callable[[Unit], Unit],
        choose: Callable[[TaskSpec, Unit], str],
        keeper: Keeper | None = None,
        grace: float = 5.0,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = f"laneway-{os.getpid()}@{gethostname()}"
        self._queues = queues
        self._concurrency = concurrency
        self._fleet = fleet
        self._lanes = lanes
        self._locate = locate
        self._choose = choose
        self._keeper = keeper
        self._grace = grace
        self._ready = ready
        # Celery asks a backend before it revokes; nothing is ever kept in this one.
        self._app = celery_app(broker, result_backend="cache+memory://")
        self._taken: dict[str, _Taken] = {}
        self._unwanted: set[str] = set()
        self._done: OrderedDict[str, None] = OrderedDict()
        """What was done lately: a broker that restarts hands out again what was not acknowledged."""
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._loaded: dict[str, asyncio.Event] = {}
        self._chosen: dict[tuple[str, str, bool], str] = {}
        self._outbox: Outbox | None = None
        self._ending = False
        self._trouble: LanewayError | None = None
        self._define_task()

    # ---- life

    def serve(self) -> int:
        """Run until a signal ends it: the first lets running orders finish within `grace`, a second ends at once.

        Returns:
            The exit status.

        Raises:
            LanewayError: the keeper's store cannot be opened.
        """
        from celery import signals  # noqa: PLC0415 - optional

        begun = threading.Event()
        thread = threading.Thread(target=self._live, args=(begun,), name="laneway-worker-loop", daemon=True)
        thread.start()
        begun.wait()
        if self._trouble is not None:
            raise self._trouble
        self._outbox = Outbox(self._app, self.name, self._running)
        worker: Any = self._app.Worker(
            hostname=self.name,
            queues=[queue_named(one) for one in self._queues],
            concurrency=self._concurrency,
            pool="threads",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
            loglevel=logging.getLogger().getEffectiveLevel(),
        )

        def ready(**_: Any) -> None:
            self._ready()

        def ending(**_: Any) -> None:
            self._call(self._wind_down)

        signals.worker_ready.connect(ready, weak=False)
        signals.worker_shutting_down.connect(ending, weak=False)
        try:
            worker.start()
        finally:
            signals.worker_ready.disconnect(ready)
            signals.worker_shutting_down.disconnect(ending)
            self._outbox.close(_LAST_WORDS_SECONDS)
            self._call(self._over.set)
            thread.join(_LAST_WORDS_SECONDS)
        return int(worker.exitcode or 0)

    def _live(self, begun: threading.Event) -> None:
        async def life() -> None:
            self._loop = asyncio.get_running_loop()
            if self._keeper is not None:
                await self._keeper.open()
            for lane in self._lanes.values():
                await lane.open()
            begun.set()
            await self._over.wait()
            for lane in self._lanes.values():
                await lane.close(grace=0)
            if self._keeper is not None:
                await self._keeper.close()

        try:
            asyncio.run(life())
        except LanewayError as error:
            self._trouble = error
        finally:
            begun.set()

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function, *arguments)

    def _wind_down(self) -> None:
        """No more orders come: give back what is not done within the grace period."""
        if not self._ending and self._loop is not None:
            self._ending = True
            self._loop.call_later(self._grace, self._release)

    def _release(self) -> None:
        for taken in list(self._taken.values()):
            taken.released = True
            if taken.task is not None:
                taken.task.cancel()

    def _running(self) -> list[tuple[str, str]]:
        with self._guard:
            return [(one.reply_to, one.delivery) for one in self._taken.values()]

    # ---- Celery's side: its threads

    def _define_task(self) -> None:
        from celery import Task  # noqa: PLC0415 - optional
        from celery.worker.request import Request  # noqa: PLC0415 - optional

        worker = self

        class OrderRequest(Request):  # type: ignore[misc]  # Celery has no types
            """Ends an attempt through the lane that runs it: there is no Celery process to kill."""

            def terminate(self, pool: Any, signal: Any = None) -> None:
                if self.time_start:
                    worker._call(worker._stop, self.id)
                else:
                    self._terminate_on_ack = pool, signal

        class OrderTask(Task):  # type: ignore[misc]  # Celery has no types
            """What orders are messages for."""

            Request = OrderRequest

        @self._app.task(base=OrderTask, bind=True, name=ATTEMPT, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]  # as above
        def attempt(task: Any, text: str, reply_to: str) -> None:
            self._take(task.request.id, text, reply_to)

    def _take(self, delivery: str, text: str, reply_to: str) -> None:
        """Run an order to its end. Returns, and so lets Celery acknowledge it, once the broker has the outcome."""
        taken = _Taken(delivery, reply_to, Future())
        with self._guard:
            if delivery in self._taken or delivery in self._done:  # the broker hands it out again
                return
            self._taken[delivery] = taken
        self._say(taken, "began")
        self._call(self._begin, taken, text)
        taken.done.result()

    def _say(self, taken: _Taken, kind: str, outcome: Outcome | None = None) -> None:
        word = Word(kind, taken.delivery, self.name, outcome="" if outcome is None else outcome_text(outcome))
        if self._outbox is not None:
            sent = None if kind == "began" else lambda: self._finished(taken)
            self._outbox.say(taken.reply_to, word, sent)

    def _finished(self, taken: _Taken) -> None:
        with self._guard:
            self._taken.pop(taken.delivery, None)
            self._done[taken.delivery] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        taken.done.set_result(None)

    # ---- the lanes' side: the event loop

    def _stop(self, delivery: str) -> None:
        taken = self._taken.get(delivery)
        if taken is None or taken.task is None:
            self._unwanted.add(delivery)  # it is on its way from Celery's threads to this loop
        else:
            taken.task.cancel()

    def _begin(self, taken: _Taken, text: str) -> None:
        taken.task = aio.create_task(self._attempt(taken, text), name=taken.delivery)
        if taken.released or taken.delivery in self._unwanted:
            self._unwanted.discard(taken.delivery)
            taken.task.cancel()

    async def _attempt(self, taken: _Taken, text: str) -> None:
        """One order through a lane; always says how it ended."""
        try:
            order = order_from(text)
            outcome = await self._outcome(order)
        except asyncio.CancelledError as cancelled:
            if taken.released:
                self._say(taken, "released")
                return
            rung = str(getattr(cancelled, "stopped_by", ""))
            record = failure_record("other", "AttemptStopped", "the attempt was stopped by its engine")
            outcome = Outcome("stopped", failure_body(record), stopped_by=rung)
        except Exception as error:  # noqa: BLE001 - a lane boundary: the engine gets a failure, whatever it was
            outcome = Outcome("failure", failure_body(failure_of(error)))
        self._say(taken, "outcome", _bounded(outcome))

    async def _outcome(self, order: StepOrder) -> Outcome:
        loop = asyncio.get_running_loop()
        try:
            unit = await loop.run_in_executor(None, self._locate, order.unit)
        except LanewayError as error:
            record = failure_record("lost_lane", type(error).__name__, f"worker {self.name}: {error}")
            return Outcome("failure", failure_body(record))
        await self._load(unit)
        key = (unit.key, order.task.reference, order.task.cpu)
        name = self._chosen.get(key)
        if name is None:
            name = self._chosen[key] = await loop.run_in_executor(None, self._choose, order.task, unit)
        lane, order = self._lanes[name], msgspec.structs.replace(order, unit=unit)
        return await (lane.run(order) if self._keeper is None else self._keeper.run(lane, order))

    async def _load(self, unit: Unit) -> None:
        """Have a unit's code loaded once before its first order: only then is it known where it can run."""
        event = self._loaded.get(unit.key)
        if event is None:
            event = self._loaded[unit.key] = asyncio.Event()
            try:
                limits = dict(unit.limits)
                seconds = float(limits.get("import_seconds", self._fleet.import_timeout))
                found = await self._fleet.discover(unit, timeout=seconds)
                if found["error"] is not None:  # it is said again, with the order's own failure
                    del self._loaded[unit.key]
            except BaseException:
                self._loaded.pop(unit.key, None)
                raise
            finally:
                event.set()
        else:
            await event.wait()


def _bounded(outcome: Outcome) -> Outcome:
    size = len(outcome.body)
    if size <= MAX_BYTES:
        return outcome
    message = (
        f"the task gave back {size:,} bytes; the celery lane carries {MAX_BYTES:,}. Put it into an artifact"
    )
    body = failure_body(failure_record("other", "PayloadTooLarge", message))
    return msgspec.structs.replace(outcome, kind="failure", body=body)
