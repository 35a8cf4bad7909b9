"""The fleet: every host process and worker of one engine. Lanes share it; it hands orders to the units' pools."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Literal

from laneway._core.failures import failure_record
from laneway.lanes._codec import decode, failure_body
from laneway.lanes._health import Heartbeat, described
from laneway.lanes._hosts import Host
from laneway.lanes._inline import InlineHost
from laneway.lanes._losses import lost
from laneway.lanes._pool import Pool
from laneway.lanes._reach import needs_process
from laneway.lanes._stopping import Ladder
from laneway.lanes._worker import Worker
from laneway.ports import LaneHealth, Outcome, StepOrder, Unit

__all__ = ["Fleet"]

_PLACES = {"loop": "service", "thread": "service", "interpreter": "interpreter", "process": "process"}


class Fleet:
    """Owns host processes and the pools of workers in them.

    Args:
        workers: workers per unit and place at most; by default one per core.
        interpreters: False runs the interpreter lane on plain processes; a text instead gives the reason.
        import_timeout: seconds that importing a unit may take.
        idle_timeout: seconds after which idle workers are closed.
        threads: threads in a package's worker for its tasks on the thread lane.
        per_host: interpreters that share one host process at most.
        output_limit: bytes kept of what one attempt prints.
        recycle_count: attempts after which a worker is replaced; None for never.
        recycle_age: seconds after which a worker is replaced; None for never.
        recycle_memory_mib: memory of a host process beyond which its workers are replaced; None for never.
        placement: `hosts` puts interpreters into processes of their own; `inline` puts them into this process, where
            they can borrow buffers without a copy, but not be killed, and where `os.fork`, `tracemalloc` and
            `python -m asyncio ps` of the whole program stop working.
        ladder: patience on each rung of the stopping ladder.
        heartbeat: seconds between two looks whether workers that said nothing are still there.
        patience: seconds after which a worker that has nothing to do and does not answer is replaced.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        interpreters: bool | str = True,
        import_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        threads: int = 32,
        per_host: int = 8,
        output_limit: int = 65536,
        recycle_count: int | None = None,
        recycle_age: float | None = None,
        recycle_memory_mib: int | None = None,
        placement: Literal["hosts", "inline"] = "hosts",
        ladder: Ladder | None = None,
        heartbeat: float = 5.0,
        patience: float = 10.0,
    ) -> None:
        self.size = workers or os.process_cpu_count() or 1
        self.no_interpreters = _no_interpreters(interpreters)
        """Why the interpreter lane runs on plain processes; empty when it does not."""
        self.import_timeout = import_timeout
        self.idle_timeout = idle_timeout
        self.output_limit = output_limit
        self.ladder = ladder or Ladder()
        self.threads = threads
        self.environment = dict(os.environ)
        """What packages may see of it is decided by their policy."""
        self.workshop: Callable[[str, bool, set[str]], dict[str, Any] | None] = _no_workshop
        """Where the worker of that name makes and reads artifacts; made if the worker may not do so; who else lives."""
        self.broker = ""
        """Where the celery lane sends its orders; empty for nowhere."""
        self.broker_patience = 30.0
        """Seconds that such an order may wait for the broker, and for a worker that listens."""
        self.publish: Callable[[Unit, str], Awaitable[None]] | None = None
        """Leaves a package, which that workflow's steps use, where workers elsewhere find it; set by the engine."""
        self._recycle_count = recycle_count
        self._recycle_age = recycle_age
        self._recycle_memory_mib = recycle_memory_mib
        self._recycles = (
            recycle_count is not None or recycle_age is not None or recycle_memory_mib is not None
        )
        self._per_host = per_host
        self._refusals: dict[str, str] = {}
        self._pools: dict[tuple[str, str], Pool] = {}
        self._heartbeat = Heartbeat(heartbeat, patience, self._pools.values, self.ladder.drain)
        self.placement = placement
        self._hosts: set[Host | InlineHost] = set()
        self._stuck: list[InlineHost] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._empty: asyncio.Event | None = None
        self.closed = False
        """True while no worker may be started."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The engine's loop.

        Raises:
            RuntimeError: the fleet is not open.
        """
        if self._loop is None:
            raise RuntimeError("the fleet is not open: await fleet.open() on the engine's loop")
        return self._loop

    async def open(self) -> None:
        """Take the running loop. Idempotent; processes start with the first order that needs one."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._heartbeat.end()
            self._loop = loop
            self._empty = asyncio.Event()
        self.closed = False

    def run(self, order: StepOrder, lane: str) -> Coroutine[Any, Any, Outcome]:
        """Run an order where the lane's workers are; see `laneway.ports.Lane.run`."""
        place = _PLACES.get(lane, lane)
        if place == "interpreter" and (self.no_interpreters or (order.task.fallback and self._is_full())):
            place = lane = "process"
        pool = self._pools.get((order.unit.key, place))
        if pool is None:
            if self.closed:
                return _closed(lane)
            pool = self._pool(order.unit, place)
        return pool.run(order, lane)

    def _is_full(self) -> bool:
        """True while no further interpreter may be made in this process, because too many in it are stuck."""
        if self.placement != "inline":
            return False
        self._stuck = [host for host in self._stuck if host.is_stuck]
        return len(self._stuck) >= self._per_host

    def _pool(self, unit: Unit, place: str) -> Pool:
        pool = self._pools.get((unit.key, place))
        if pool is None:
            pool = self._pools[unit.key, place] = Pool(
                self, unit, place, 1 if place == "service" else self.size
            )
        return pool

    async def discover(self, unit: Unit, timeout: float | None = None) -> dict[str, Any]:
        """Load a unit where it will run and tell what is in it.

        Returns:
            `tasks` (as `TaskSpec.described`, with fingerprints), `workflows` (name, attribute, tasks, merge, doc),
            `error` (a failure record or None) and `interpreter_refusal` (why the unit cannot load in an
            interpreter, or empty: then it was loaded in a process instead).
        """
        limit = self.import_timeout if timeout is None else timeout
        refusal = self.no_interpreters
        if not refusal and not needs_process(unit):
            answer = await self._describe(unit, "interpreter", limit)
            error = answer["error"]
            if error is None or not _may_be_the_interpreter(error):
                return {**answer, "interpreter_refusal": ""}
            second = await self._describe(unit, "process", limit)
            if second["error"] is not None and "subinterpreter" not in error["message"]:
                return {**answer, "interpreter_refusal": ""}
            self._refusals[unit.key] = error["message"]
            return {**second, "interpreter_refusal": error["message"]}
        return {**await self._describe(unit, "process", limit), "interpreter_refusal": refusal}

    def learned(self, unit: Unit, refusal: str) -> None:
        """Know from an earlier discovery why the unit cannot load in an interpreter; empty where it can."""
        if refusal and not self.no_interpreters:
            self._refusals[unit.key] = refusal

    def refused(self, unit: Unit) -> str | None:
        """What loading the unit in an interpreter said, if it said no."""
        refusal = self._refusals.get(unit.key)
        return f"it cannot be loaded in an interpreter: {refusal}" if refusal else None

    def refusal_of(self, unit: Unit) -> str:
        """Why a unit cannot be loaded in an interpreter, as far as that is known; else empty."""
        return self.no_interpreters or self._refusals.get(unit.key, "")

    async def _describe(self, unit: Unit, place: str, limit: float) -> dict[str, Any]:
        pool = self._pool(unit, place)
        pool.import_timeout = limit
        outcome = await pool.run(None, place)
        found: dict[str, Any] = decode(outcome.body)
        if outcome.kind in ("failure", "stopped"):
            return {"tasks": [], "workflows": [], "error": found}
        return found

    def host(self, *, exclusive: bool, environment: dict[str, str] | None = None) -> Host:
        """A host for one more worker. Raises OSError when none can be started."""
        if not exclusive:
            for host in self._hosts:
                if (
                    isinstance(host, Host)
                    and not (host.exclusive or host.closing or host.dead)
                    and len(host.workers) < self._per_host
                    and host.environment == environment
                ):
                    return host
        self._heartbeat.begin(self.loop)
        host = Host(self.loop, self._gone, environment)
        host.exclusive = exclusive
        self._hosts.add(host)
        return host

    def inline_host(self) -> InlineHost:
        """A place for one more interpreter in this process. Raises OSError when too many are stuck."""
        if self._is_full():
            raise OSError(
                f"{len(self._stuck)} interpreters in this process are stuck in tasks that cannot be stopped. "
                "Allow a fallback, or use the process lane"
            )
        self._heartbeat.begin(self.loop)
        host = InlineHost(self.loop, self._gone)
        self._hosts.add(host)
        return host

    def _gone(self, host: Host | InlineHost) -> None:
        """A host has ended."""
        self._hosts.discard(host)
        if isinstance(host, InlineHost) and host.is_stuck:
            self._stuck.append(host)
        workers: set[Worker] = set(host.workers)
        loaded = [worker for worker in workers if worker.flights or worker.by_number or not worker.ready]
        for worker in workers:
            pool = next((pool for pool in self._pools.values() if worker in pool.workers), None)
            if pool is None:
                worker.close()
            else:
                lost(pool, worker, host.reason(), alone=len(loaded) <= 1)
        if not self._hosts and self._empty is not None:
            self._empty.set()

    def is_worn(self, worker: Worker) -> bool:
        """True when the worker has run for long enough, by what the fleet was told."""
        if not self._recycles or worker.ending:
            return False
        if self._recycle_count is not None and worker.served >= self._recycle_count:
            return True
        if self._recycle_age is not None and self.loop.time() - worker.born > self._recycle_age:
            return True
        if self._recycle_memory_mib is not None and worker.host.memory_mib() > self._recycle_memory_mib:
            worker.host.closing = (
                True  # an interpreter gives memory back to its host, not always to the system
            )
            return True
        return False

    def idle(self, worker: Worker) -> None:
        """A worker has nothing to do: it is closed when that lasts. No timer runs while nothing is idle."""
        worker.idle_since = self.loop.time()
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self.idle_timeout, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        before = self.loop.time() - self.idle_timeout
        left = [pool.close_idle(before) for pool in self._pools.values()]
        if any(left):
            self._sweeper = self.loop.call_later(self.idle_timeout / 2, self._sweep)

    def describe(self, lane: str) -> list[dict[str, Any]]:
        """The workers behind a lane, for people."""
        place = _PLACES.get(lane, lane)
        return [
            described(pool, worker)
            for pool in self._pools.values()
            if pool.place == place
            for worker in pool.workers
        ]

    def health(self, lane: str) -> LaneHealth:
        """Workers, queue and restarts behind a lane."""
        pools = [pool for pool in self._pools.values() if pool.place == _PLACES.get(lane, lane)]
        workers = self.describe(lane)
        return LaneHealth(
            lane,
            workers,
            sum(1 for pool in pools for flight in pool.waiting if not flight.unwanted)
            + sum(int(worker["queued"]) for worker in workers),
            sum(1 for worker in workers if worker["state"] == "running"),
            sum(pool.quarantined() for pool in pools) + sum(1 for host in self._stuck if host.is_stuck),
            sum(pool.restarts for pool in pools),
        )

    async def retire(self, unit_key: str, lane: str) -> None:
        """Close a unit's workers once they have nothing to do."""
        place = _PLACES.get(lane, lane)
        pool = self._pools.get((unit_key, place))
        if pool is None:
            return
        while pool.busy:
            await asyncio.wait(pool.ends())
        pool.close_idle(float("inf"))
        self._pools.pop((unit_key, place), None)

    async def close(self, *, grace: float) -> None:
        """Stop everything: idle workers at once, busy ones after `grace` seconds, by force. Idempotent."""
        if self.closed or self._loop is None:
            return
        self.closed = True
        self._heartbeat.end()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        busy = [flight.future for pool in self._pools.values() for flight in pool.flying()]
        if busy:
            await asyncio.wait(busy, timeout=grace)
        for pool in self._pools.values():
            pool.close_idle(float("inf"))
        for pool in self._pools.values():
            pool.pump()  # what still waits is told that the lanes are closed
        for host in list(self._hosts):
            if not host.workers:
                host.close()
            else:
                host.kill(host)
        if self._hosts and self._empty is not None:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), 1.0)
            except TimeoutError:
                for host in list(self._hosts):
                    host.kill(host)
                await asyncio.wait_for(self._empty.wait(), 5.0)
        self._pools.clear()


def _no_workshop(worker: str, made: bool, living: set[str]) -> None:
    """Without an engine there is nowhere to keep artifacts."""


async def _closed(lane: str) -> Outcome:
    record = failure_record("lost_lane", "LaneError", f"the {lane} lane is closed")
    return Outcome("failure", failure_body(record), lane=lane)


def _may_be_the_interpreter(error: dict[str, Any]) -> bool:
    """True where a process may load what an interpreter could not: a refused extension module, a crash."""
    return bool(error["type"] == "ImportError" or error["kind"] == "lost_lane")


def _no_interpreters(wish: bool | str) -> str:
    if isinstance(wish, str):
        return wish
    if not wish:
        return "interpreters are switched off"
    if find_spec("_interpreters") is None:
        return "this Python was built without interpreters"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "the free-threaded build never frees what an interpreter used"
    return ""
