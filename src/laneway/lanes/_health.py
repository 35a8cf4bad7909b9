"""The health of workers: what each does, and a heartbeat that finds those that answer no more and replaces them."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from laneway.lanes import _frames as frames
from laneway.lanes._worker import Worker

if TYPE_CHECKING:
    from laneway.lanes._pool import Pool

__all__ = ["Heartbeat", "described"]

log = logging.getLogger("laneway.lanes")

_DOUBT_SECONDS = 1.0
"""An order that reached a worker so soon after the question may be what keeps it from answering."""


def described(pool: Pool, worker: Worker) -> dict[str, Any]:
    """A worker, for people."""
    now = pool.loop.time()
    flights = (*worker.flights, *worker.by_number.values())
    head = worker.flights[0].order if worker.flights else None
    return {
        "worker": worker.name,
        "unit": pool.unit.name or pool.unit.key,
        "pid": worker.host.pid,
        "state": "starting" if not worker.ready else "running" if flights else "idle",
        "task": head.task.id if head else "",
        "queued": max(0, len(worker.flights) - 1),
        "served": worker.served,
        "silent": round(now - worker.asked, 1) if worker.asked else 0.0,
        "memory_mib": round(worker.host.memory_mib(), 1),
        "attempts": [
            {
                "run": flight.order.run,
                "task": flight.order.task.id,
                "key": flight.order.item,
                "state": "running" if pool.is_running(flight) else "queued",
                "age": round(now - flight.begun, 3) if flight.begun else 0.0,
                "rung": flight.rung,
            }
            for flight in flights
            if flight.order is not None
        ],
    }


class Heartbeat:
    """Asks workers that said nothing since the last beat whether they are there; runs only while there are workers.

    A worker that has nothing to do and answers for `patience` seconds no more is sick: it is replaced, and an order
    that it got meanwhile runs elsewhere. One that is at work may be silent for long: C code keeps its interpreter from
    answering. That is shown, and left to the attempt's time limit.

    Args:
        seconds: between two beats.
        patience: seconds without an answer after which a worker is sick.
        pools: the pools there are.
        drain: seconds that other attempts in a sick worker's host get to finish.
    """

    def __init__(
        self,
        seconds: float,
        patience: float,
        pools: Callable[[], Iterable[Pool]],
        drain: float,
    ) -> None:
        self._seconds = seconds
        self._patience = patience
        self._pools = pools
        self._drain = drain
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat from now on, while there are workers."""
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._beat, loop)

    def end(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        found = [(pool, worker) for pool in self._pools() for worker in pool.workers]
        for pool, worker in found:
            if worker.ready and not worker.ending and not worker.host.closing:
                self._look(pool, worker, loop.time())
        if found:
            self.begin(loop)

    def _look(self, pool: Pool, worker: Worker, now: float) -> None:
        if worker.served != worker.counted:
            worker.counted = worker.served
            worker.asked = 0.0
        elif not worker.asked:
            worker.asked = now
            worker.tell(frames.PING)
        elif now - worker.asked >= self._patience and _is_sick(worker):
            log.warning(
                "worker %s of %s has not answered for %.0f s, so it is replaced",
                worker.name,
                pool.name,
                now - worker.asked,
            )
            self._replace(pool, worker)

    def _replace(self, pool: Pool, worker: Worker) -> None:
        host = worker.host
        host.closing = worker.ending = True
        busy = [one for one in host.workers if one is not worker and (one.flights or one.by_number)]
        for sibling in busy:
            sibling.ending = True
            sibling.tell(frames.DRAIN)
        pool.loop.call_later(self._drain if busy else 0, host.kill, worker)
        if not worker.flights and not worker.by_number:  # else they are moved when the host is gone
            pool.restarts += 1
            pool.drop(worker)


def _is_sick(worker: Worker) -> bool:
    """Whether it was silent before it got anything to do."""
    flights = (*worker.flights, *worker.by_number.values())
    return all(flight.begun > worker.asked + _DOUBT_SECONDS or not flight.begun for flight in flights)
