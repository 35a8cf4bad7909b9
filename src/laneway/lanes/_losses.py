"""What becomes of attempts whose worker died: who was to blame, who runs again, who fails."""

from typing import TYPE_CHECKING, Any

from laneway._core.failures import failure_record
from laneway.lanes._codec import failure_body
from laneway.lanes._flight import Flight
from laneway.lanes._stopping import timed_out
from laneway.lanes._worker import Worker
from laneway.ports import Outcome

if TYPE_CHECKING:
    from laneway.lanes._pool import Pool

__all__ = ["lost", "next_suspect"]


_CRASHED_LOADS, _KILLED_LOADS = 3, 10
"""An import that its host did not survive so often in a row is to blame itself; SIGKILL may come from elsewhere."""


def lost(pool: Pool, worker: Worker, reason: str, *, alone: bool) -> None:
    """The worker is gone with whatever it ran.

    Args:
        pool: the worker's pool.
        worker: the one that is gone.
        reason: what became of it, for people.
        alone: True when no attempt of another worker can have been the cause.
    """
    worker.drain()
    pool.restarts += 1
    blamed = worker.host.blamed
    running = list(worker.by_number.values()) if worker.concurrent else [*worker.flights][:1]
    if not worker.ready:
        running = []
        _lost_loading(pool, worker, reason)
    queued = [flight for flight in worker.flights if flight not in running]
    worker.flights.clear()
    worker.by_number.clear()
    output = worker.output(-1)
    pool.drop(worker)
    again: list[Flight] = []
    for flight in running:
        if flight.rung and (flight is blamed or flight.expired or flight.unwanted):
            pool.settle(flight, _killed(pool, worker, flight, output))
        elif blamed is not None:
            again.append(flight)
        elif (alone and len(running) == 1) or flight.crashed:
            pool.settle(flight, _died(worker, flight, reason, output))
        else:
            flight.crashed = True
            _reset(flight)
            pool.suspects.append(flight)
    pool.requeue(again + queued)
    if pool.suspects and not any(one.suspicious for one in pool.workers):
        _start_for_suspects(pool)
    pool.pump()


def _lost_loading(pool: Pool, worker: Worker, reason: str) -> None:
    if worker.host.blamed is not None:
        return
    pool.crashed_loads.add(worker.host)
    if len(pool.crashed_loads) >= (_KILLED_LOADS if "SIGKILL" in reason else _CRASHED_LOADS):
        pool.crashed_loads.clear()
        message = f"the worker {reason} while importing {pool.name}"
        record = failure_record("lost_lane", "WorkerLost", message, worker.host.printed())
        pool.fail_waiting(record, loading=worker)


def _start_for_suspects(pool: Pool) -> None:
    worker = pool.start(exclusive=True)
    if worker is None:
        pool.requeue(list(pool.suspects))
        pool.suspects.clear()
    else:
        worker.suspicious = True


def next_suspect(pool: Pool, worker: Worker) -> None:
    """Give the next one to the worker that runs suspects alone: if it dies now, the cause is known."""
    while pool.suspects:
        flight = pool.suspects.popleft()
        if flight.unwanted:
            flight.end()
        else:
            pool.send(worker, flight)
            return
    worker.suspicious = False
    pool.fleet.idle(worker)


def _reset(flight: Flight) -> None:
    flight.worker = None
    if flight.timer is not None:
        flight.timer.cancel()
        flight.timer = None


def _killed(pool: Pool, worker: Worker, flight: Flight, output: str) -> Outcome:
    order = flight.order
    if order is None or not flight.expired:
        record = failure_record("other", "AttemptStopped", "the attempt was stopped by killing its worker")
        body = failure_body(record)
    else:
        body = timed_out(order.task.id, flight.limit, worker.host.last_rung, worker.host.printed())
    spent = pool.loop.time() - flight.begun if flight.begun else 0.0
    kind: Any = "failure" if flight.expired else "stopped"
    return Outcome(kind, body, 0.0, spent, flight.lane, worker.name, worker.host.last_rung, output)


def _died(worker: Worker, flight: Flight, reason: str, output: str) -> Outcome:
    task = flight.order.task.id if flight.order else "discovery"
    if "SIGXCPU" in reason:
        message = (
            f"task {task!r} used more CPU time than [limits] cpu_seconds allows, so its worker was ended"
        )
        record = failure_record("timeout", "LimitExceeded", message)
    else:
        message = f"the worker {reason} while it ran task {task!r}"
        record = failure_record("lost_lane", "WorkerLost", message, worker.host.printed())
    return Outcome("failure", failure_body(record), lane=flight.lane, worker=worker.name, output=output)
