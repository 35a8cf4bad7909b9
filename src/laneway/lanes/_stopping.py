"""The stopping ladder on the engine's side: ask, interrupt, kill, with the rung that worked recorded."""

from typing import TYPE_CHECKING, NamedTuple

from laneway._core.failures import failure_record
from laneway.lanes import _frames as frames
from laneway.lanes._codec import decode, failure_body
from laneway.lanes._flight import Flight
from laneway.lanes._worker import Worker

if TYPE_CHECKING:
    from laneway.lanes._pool import Pool

__all__ = ["Ladder", "stop", "timed_out", "traceback_in"]


_LOOKS, _LOOK_SECONDS = 25, 0.02
"""For the stack of a worker that is to be killed."""


class Ladder(NamedTuple):
    """Seconds of patience on each rung."""

    ask_coroutine: float = 0.5
    """A cancelled coroutine may clean up for so long."""
    ask_function: float = 0.1
    """A plain function may look at `laneway.cancelled()` for so long."""
    interrupt: float = 1.0
    """Code that catches AttemptStopped may clean up for so long."""
    drain: float = 0.5
    """Siblings in the host that is to be killed may finish for so long."""


def stop(pool: Pool, flight: Flight) -> None:
    """First rung: ask. The further ones follow by timer until the attempt is over."""
    worker = flight.worker
    if flight.rung or not isinstance(worker, Worker) or not pool.is_running(flight):
        return
    flight.rung = "ask"
    worker.tell(frames.ASK, flight.number)
    order = flight.order
    patience = (
        pool.fleet.ladder.ask_coroutine
        if order is not None and order.task.is_async
        else pool.fleet.ladder.ask_function
    )
    flight.timer = pool.loop.call_later(patience, _interrupt, pool, flight)


def _interrupt(pool: Pool, flight: Flight) -> None:
    worker = flight.worker
    if not isinstance(worker, Worker) or not pool.is_running(flight):
        return
    if worker.concurrent:
        _isolate(pool, flight)
        return
    flight.rung = "interrupt"
    worker.tell(frames.INTERRUPT, flight.number)
    flight.timer = pool.loop.call_later(pool.fleet.ladder.interrupt, _isolate, pool, flight)


def _isolate(pool: Pool, flight: Flight) -> None:
    """Nothing helps: no new work for the host, a moment for the siblings, then the kill."""
    worker = flight.worker
    if not isinstance(worker, Worker) or not pool.is_running(flight):
        return
    flight.rung = "kill"
    host = worker.host
    host.closing = True
    worker.ending = True
    waits = False
    for sibling in host.workers:
        if sibling is not worker and (sibling.flights or sibling.by_number):
            sibling.ending = True
            sibling.tell(frames.DRAIN)
            waits = True
    before = host.printed()
    host.dump(worker.name)
    if waits:
        flight.timer = pool.loop.call_later(pool.fleet.ladder.drain, host.kill, flight)
    else:
        _kill(pool, flight, before, before, _LOOKS)


def _kill(pool: Pool, flight: Flight, before: str, last: str, looks: int) -> None:
    """Once the host has said where it is stuck, and at most after some looks: a busy machine may take its time."""
    host = flight.worker.host
    now = host.printed()
    if looks == 0 or before != now == last or not host.tells:
        host.kill(flight)
    else:
        flight.timer = pool.loop.call_later(_LOOK_SECONDS, _kill, pool, flight, before, now, looks - 1)


def traceback_in(body: bytes) -> str:
    """Where the code was when it gave up, from the failure that it answered with."""
    return str(decode(body).get("traceback", ""))


def timed_out(task: str, limit: float | None, rung: str, stack: str = "") -> bytes:
    """The failure record of an attempt that was over its time limit; `stack` shows where it was."""
    how = {
        "ask": "it ended when it was asked to",
        "interrupt": "it was interrupted",
        "kill": "its worker was killed",
        "quarantine": "it could not be stopped, is in quarantine and may still be running",
    }.get(rung, "")
    message = f"task {task!r} ran longer than its limit of {limit or 0:g} s" + (f"; {how}" if how else "")
    return failure_body(failure_record("timeout", "TimeoutError", message, stack))
