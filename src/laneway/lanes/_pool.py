"""The workers of one unit in one place: handing orders out, starting and closing workers, reading replies."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from laneway._core.failures import failure_record
from laneway.lanes import _frames as frames
from laneway.lanes._codec import decode, failure_body
from laneway.lanes._flight import Flight
from laneway.lanes._losses import lost, next_suspect
from laneway.lanes._reach import limited
from laneway.lanes._starting import start_worker
from laneway.lanes._stopping import stop, timed_out, traceback_in
from laneway.lanes._worker import Worker
from laneway.ports import Outcome, StepOrder, Unit

if TYPE_CHECKING:
    from laneway.lanes._fleet import Fleet

__all__ = ["Pool"]

_BUDGET_SECONDS = 0.001
"""Short tasks are handed ahead to a busy worker up to this much expected work."""
_AHEAD = 64
_NEXT_SECONDS = 0.05
"""A longer task, up to this, is handed to a busy worker as its next one while more wait than there are workers: then no
worker idles for the length of a hand-over, and nobody waits long behind it."""
_FLOOR_SECONDS = 0.000016
_REAP_SECONDS = 0.25
"""How long after a worker's pipe closed its host may take to be seen dead."""
_KINDS: Any = {**frames.KINDS, frames.DESCRIBED: "value"}
_FAILED = ("failure", "stopped")


class Pool:
    """Workers of one unit in one place (`interpreter`, `process` or `service`)."""

    def __init__(self, fleet: Fleet, unit: Unit, place: str, limit: int) -> None:
        self.fleet = fleet
        self.loop: asyncio.AbstractEventLoop = fleet.loop
        self.unit = unit
        self.place = place
        self.limit = limit
        self.workers: list[Worker] = []
        self.waiting: deque[Flight] = deque()
        self.suspects: deque[Flight] = deque()
        """Attempts that ran when a host died and may have been the cause: each runs again alone."""
        self.seconds: dict[str, float] = {}
        """How long each task takes, quick to rise and slow to fall."""
        self.restarts = 0
        self.crashed_loads: set[object] = set()
        """Hosts that died while they imported the unit, since one succeeded."""
        self.limits: dict[str, Any] = dict(unit.limits)
        self.import_timeout: float = self.limits.get("import_seconds", fleet.import_timeout)
        self.concurrency: int | None = self.limits.get("concurrency")
        if self.concurrency is not None:
            self.limit = min(limit, self.concurrency)

    # Handing out ---------------------------------------------------------------------------------------------

    def quarantined(self) -> int:
        """Attempts that nothing but killing their host can stop any more."""
        return sum(1 for flight in self.flying() if flight.rung == "kill")

    async def run(self, order: StepOrder | None, lane: str) -> Outcome:
        """One order through to its outcome; stops the attempt when the awaiting task is cancelled."""
        flight = Flight(order, self.loop.create_future(), lane)
        if order is not None:
            flight.limit = order.task.timeout
            if self.limits:
                refused = limited(self.limits, flight, order)
                if refused is not None:
                    return refused
        self.submit(flight)
        try:
            return await flight.future
        except asyncio.CancelledError as cancelled:
            if not flight.future.cancelled():
                raise  # the outcome was there already
            flight.unwanted = True
            await self._stopped(flight)
            cancelled.stopped_by = flight.rung  # type: ignore[attr-defined]  # for whoever records the attempt
            raise

    async def _stopped(self, flight: Flight) -> None:
        if flight.worker is None:  # it waits; whoever hands orders out passes it over
            return
        if flight.has_ended:  # the answer came between the cancellation and this moment
            return
        over = self.end_of(flight)
        if self.is_running(flight):
            stop(self, flight)
        while not over.done():
            try:
                await asyncio.shield(over)
            except asyncio.CancelledError:
                continue

    def end_of(self, flight: Flight) -> asyncio.Future[None]:
        """What is done once the attempt is over, which may be long after nobody waits for its outcome any more."""
        if flight.over is None:
            flight.over = self.loop.create_future()
        return flight.over

    def submit(self, flight: Flight) -> None:
        """Send the order to a worker, or let it wait for one."""
        if not self.waiting:
            worker = self._choose(flight)
            if worker is not None:
                self.send(worker, flight)
                return
        self.waiting.append(flight)
        self._grow()

    def _choose(self, flight: Flight) -> Worker | None:
        order = flight.order
        expect = 1.0 if order is None else self.seconds.get(order.task.reference, 1.0)
        flight.expect = expect
        if self.concurrency is not None and len(self.flying()) >= self.concurrency:
            return None
        best: Worker | None = None
        load = 0.0
        ahead = 1 if order is None else order.task.batch
        if ahead == 1 and expect <= _NEXT_SECONDS and len(self.waiting) > len(self.workers):
            ahead = 2
        for worker in self.workers:
            if not worker.ready or worker.ending or worker.suspicious or worker.host.closing:
                continue
            if worker.concurrent:
                if order is not None and not order.task.is_async:
                    if worker.load >= self.fleet.threads:
                        continue
                    flight.expect = 1.0
                else:
                    flight.expect = 0.0
                return worker
            flying = len(worker.flights)
            if not flying:
                return worker
            taken = worker.load
            if flying >= _AHEAD or (taken + expect > _BUDGET_SECONDS and flying >= ahead):
                continue
            if best is None or taken < load:
                best, load = worker, taken
        return best

    def flying(self) -> list[Flight]:
        """What workers have, whether they began it or not."""
        return [one for worker in self.workers for one in (*worker.flights, *worker.by_number.values())]

    def send(self, worker: Worker, flight: Flight) -> None:
        """Hand an order to that worker."""
        worker.send(flight)
        if worker.concurrent or worker.flights[0] is flight:
            self._begin(worker, flight)

    def _begin(self, worker: Worker, flight: Flight) -> None:
        """The order is at the head: its time runs from now."""
        flight.begun = self.loop.time()
        if flight.unwanted:
            stop(self, flight)
        elif flight.limit is not None:
            flight.timer = self.loop.call_later(flight.limit, self._expire, flight)

    def _expire(self, flight: Flight) -> None:
        flight.expired = True
        stop(self, flight)

    def is_running(self, flight: Flight) -> bool:
        """True while the flight is what its worker runs."""
        worker = flight.worker
        if not isinstance(worker, Worker):
            return False
        if worker.concurrent:
            return flight.number in worker.by_number
        return bool(worker.flights) and worker.flights[0] is flight

    def pump(self) -> None:
        """Hand out what waits."""
        waiting = self.waiting
        while waiting:
            flight = waiting[0]
            if flight.unwanted:
                waiting.popleft()
                flight.end()
                continue
            worker = self._choose(flight)
            if worker is None:
                self._grow()
                return
            waiting.popleft()
            self.send(worker, flight)

    # Workers -------------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        starting = sum(1 for worker in self.workers if not worker.ready)
        living = sum(1 for worker in self.workers if not (worker.ending or worker.host.closing))
        if len(self.waiting) > starting and living < self.limit:
            self.start()

    def start(self, *, exclusive: bool = False) -> Worker | None:
        """Start a worker; with `exclusive` in a host of its own."""
        if self.fleet.closed:
            self.fail_waiting(failure_record("lost_lane", "LaneError", "the engine is closing its lanes"))
            return None
        try:
            worker = start_worker(self, exclusive=exclusive)
        except OSError as error:
            message = f"no worker could be started for {self.name}: {error}"
            self.fail_waiting(failure_record("lost_lane", "LaneError", message))
            return None
        self.workers.append(worker)
        worker.timer = self.loop.call_later(self.import_timeout, self._import_too_long, worker)
        return worker

    @property
    def name(self) -> str:
        """The unit's name, for people."""
        return self.unit.name or self.unit.entry

    def _import_too_long(self, worker: Worker) -> None:
        limit = self.import_timeout
        worker.host.dump(worker.name)
        message = f"importing {self.name} took longer than {limit:g} s, so its worker was stopped"
        self.fail_waiting(failure_record("timeout", "TimeoutError", message), loading=worker)
        self.kill(worker, worker)

    def fail_waiting(self, record: Any, loading: Worker | None = None) -> None:
        """Give everything that waits for a worker the same failure."""
        body = failure_body(record)
        waiting, self.waiting = self.waiting, deque()
        if loading is not None and loading.suspicious:
            waiting += self.suspects
            self.suspects.clear()
        for flight in waiting:
            self.settle(
                flight, Outcome("failure", body, lane=flight.lane, worker=loading.name if loading else "")
            )

    def kill(self, worker: Worker, blamed: object) -> None:
        """Kill the worker's host; its siblings' attempts run again elsewhere."""
        worker.ending = True
        worker.host.kill(blamed)

    def drop(self, worker: Worker) -> None:
        """Let the worker end: it has nothing to do any more, or is gone."""
        if worker in self.workers:
            self.workers.remove(worker)
        worker.close()

    # Replies -------------------------------------------------------------------------------------------------

    def replied(
        self,
        worker: Worker,
        flight: Flight | None,
        kind: int,
        flags: int,
        body: bytes,
        printed: int,
        started: float,
        duration: float,
        refusals: tuple[str, ...],
    ) -> None:
        """A worker answered: an outcome, or a word about itself."""
        if flight is None:
            self._said(worker, kind, body, printed)
            return
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        worker.served += 1
        order = flight.order
        if order is not None:
            reference = order.task.reference
            known = self.seconds.get(reference, 0.0)
            spent = duration if duration > _FLOOR_SECONDS else _FLOOR_SECONDS
            self.seconds[reference] = spent if spent > known else known + (spent - known) * 0.1
        output = worker.output(printed) if printed else ""
        outcome = self._outcome(worker, flight, kind, body, started, duration, output, refusals)
        self.settle(flight, outcome)
        flying = worker.flights or worker.by_number
        if flags & frames.SPENT:
            self._move_on(worker)
        elif worker.suspicious:
            next_suspect(self, worker)
        elif flying:
            if not worker.concurrent:
                self._begin(worker, worker.flights[0])
            if self.fleet.is_worn(worker):
                worker.ending = True
                worker.tell(frames.DRAIN)
        elif worker.ending or self.fleet.is_worn(worker):
            self.drop(worker)
        else:
            self.fleet.idle(worker)
        if self.waiting:
            self.pump()

    def _outcome(
        self,
        worker: Worker,
        flight: Flight,
        kind: int,
        body: bytes,
        started: float,
        duration: float,
        output: str,
        refusals: tuple[str, ...],
    ) -> Outcome:
        said: Any = _KINDS[kind]
        if flight.rung == "kill":  # the signal that asks for the stack woke it: it ended by itself
            flight.rung = "interrupt"
        if flight.expired and flight.order is not None:
            stack = traceback_in(body) if said in _FAILED else ""
            said, body = "failure", timed_out(flight.order.task.id, flight.limit, flight.rung, stack)
        return Outcome(said, body, started, duration, flight.lane, worker.name, flight.rung, output, refusals)

    def settle(self, flight: Flight, outcome: Outcome) -> None:
        """Give the flight its outcome."""
        if not flight.future.done():
            flight.future.set_result(outcome)
        flight.end()

    def _said(self, worker: Worker, kind: int, body: bytes, printed: int) -> None:
        """A reply to no order: loaded, not loaded, or the end of the pipe."""
        if kind == frames.LOADED:
            worker.ready = True
            self.crashed_loads.clear()
            if worker.timer is not None:
                worker.timer.cancel()
                worker.timer = None
            worker.output(printed)
            if worker.suspicious:
                next_suspect(self, worker)
            self.pump()
            if not worker.flights and not worker.by_number:
                self.fleet.idle(worker)
        elif kind == frames.LOAD_FAILED:
            worker.ending = True
            record = decode(body)
            output = worker.output(printed)
            if output:
                record["traceback"] += f"\nIt printed:\n{output[-2000:]}"
            self.fail_waiting(record, loading=worker)
            self.drop(worker)
        elif worker.ending and not worker.flights and not worker.by_number:
            self.drop(worker)
        elif not worker.host.dead:
            self.loop.call_later(_REAP_SECONDS, self._ended_alone, worker)

    def _ended_alone(self, worker: Worker) -> None:
        """The worker's pipe closed but its host lives on: nothing else in the host is to blame."""
        if worker in self.workers and not worker.host.dead:
            lost(self, worker, "ended unexpectedly", alone=True)

    def _move_on(self, worker: Worker) -> None:
        """The worker ends: what it had not begun goes to others."""
        self.restarts += 1
        left = [*worker.flights, *worker.by_number.values()]
        worker.flights.clear()
        worker.by_number.clear()
        self.requeue(left)
        self.drop(worker)

    def requeue(self, flights: list[Flight]) -> None:
        """Put orders that have not run back to the front."""
        for flight in reversed(flights):
            flight.worker = None
            if flight.timer is not None:
                flight.timer.cancel()
                flight.timer = None
            if flight.unwanted:
                flight.end()
            else:
                self.waiting.appendleft(flight)

    # Ending --------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """True while something waits or runs."""
        return bool(self.flying() or self.waiting or self.suspects)

    def ends(self) -> list[asyncio.Future[None]]:
        """The ends of all that waits or runs."""
        return [self.end_of(flight) for flight in (*self.flying(), *self.waiting, *self.suspects)]

    def close_idle(self, before: float) -> bool:
        """Close workers that have been idle since `before`; True when idle ones are left."""
        left = False
        for worker in list(self.workers):
            if worker.ready and not worker.flights and not worker.by_number:
                if worker.idle_since <= before:
                    self.drop(worker)
                else:
                    left = True
        return left
