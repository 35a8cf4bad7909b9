"""The thread lane: blocking code in a pool of named daemon threads. A thread can be asked to stop, never forced."""

import asyncio
import contextvars
import itertools
import os
from collections import deque
from time import perf_counter, time
from typing import Any

from laneway._core.failures import failure_record
from laneway._core.model import TaskSpec
from laneway.lanes._codec import failure_body
from laneway.lanes._fleet import Fleet
from laneway.lanes._reach import unenforceable, unreachable
from laneway.lanes._threads import Attempt, WorkerThread
from laneway.lanes.loop import timed_out
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["ThreadLane"]


class ThreadLane:
    """Runs functions of this process in threads of its own.

    Args:
        fleet: where tasks of packages run instead: in threads inside the package's own worker.
        threads: how many threads at most; by default what `concurrent.futures` would take.
        quarantine: how many threads that could not be stopped are replaced; beyond it the pool shrinks.
        grace: seconds between asking an attempt to stop and giving its thread up.
    """

    name = "thread"
    capabilities = Capabilities(parallel=True, isolated=False, stops="cooperative")

    def __init__(
        self, fleet: Fleet, *, threads: int | None = None, quarantine: int | None = None, grace: float = 0.5
    ) -> None:
        self._fleet = fleet
        self._size = threads or min(32, (os.process_cpu_count() or 1) + 4)
        self._bound = self._size if quarantine is None else quarantine
        self._grace = grace
        self._threads: set[WorkerThread] = set()
        self._idle: list[WorkerThread] = []
        self._stuck: set[WorkerThread] = set()
        self._waiting: deque[Attempt] = deque()
        self._running: set[Attempt] = set()
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._replaced = 0
        self._closed = False

    async def open(self) -> None:
        """Take the running loop; threads start on demand."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        await self._fleet.open()

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt; see `laneway.ports.Lane.run`."""
        if order.task.function is None:
            return await self._fleet.run(order, "thread")
        loop = self._loop
        if loop is None or self._closed:
            return _closed(order.task)
        if order.task.fallback and self._room() <= 0 and unreachable(order.unit, order.task) is None:
            return await self._fleet.run(order, "process")
        attempt = Attempt(order.task, order.payload, contextvars.copy_context(), loop, self._ended)
        self._waiting.append(attempt)
        self._hand_out()
        try:
            return await attempt.future
        except asyncio.CancelledError as cancelled:
            await self._stop(attempt)
            rung = "" if attempt.thread is None else "quarantine" if attempt.thread in self._stuck else "ask"
            cancelled.stopped_by = rung  # type: ignore[attr-defined]  # for whoever records the attempt
            raise

    def _room(self) -> int:
        """How many threads there may be beside those that are stuck."""
        return self._size - max(0, len(self._stuck) - self._bound)

    def _hand_out(self) -> None:
        while self._waiting:
            if self._idle:
                thread = self._idle.pop()
            elif len(self._threads) < self._room():
                thread = WorkerThread(f"laneway-thread-{next(self._numbers)}")
                self._threads.add(thread)
            elif not self._threads:  # every thread that may exist is stuck
                while self._waiting:
                    attempt = self._waiting.popleft()
                    if not attempt.future.done():
                        attempt.future.set_result(_exhausted(attempt.spec, len(self._stuck)))
                return
            else:
                return
            attempt = self._waiting.popleft()
            if attempt.future.done():
                self._idle.append(thread)
                continue
            attempt.thread = thread
            self._running.add(attempt)
            limit = attempt.spec.timeout
            if limit is not None:
                attempt.timer = attempt.loop.call_later(limit, self._expire, attempt)
            thread.hand(attempt)

    def _ended(self, attempt: Attempt) -> None:
        """On the loop, once the thread is through with the attempt."""
        thread = attempt.thread
        self._running.discard(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()
        if thread is not None:
            if thread in self._threads:
                self._idle.append(thread)
                self._hand_out()
            else:  # it was stuck, or the lane is closed
                self._stuck.discard(thread)
                thread.end()
        attempt.over.set_result(None) if not attempt.over.done() else None
        if attempt.future.done():
            return
        if attempt.expired:
            body = timed_out(attempt.spec, "ask")
            attempt.future.set_result(self._outcome(attempt, "failure", body, stopped_by="ask"))
        else:
            attempt.future.set_result(self._outcome(attempt, attempt.kind, attempt.body))

    def _outcome(self, attempt: Attempt, kind: Any, body: bytes, *, stopped_by: str = "") -> Outcome:
        worker = attempt.thread.name if attempt.thread else ""
        return Outcome(kind, body, attempt.started, attempt.duration, "thread", worker, stopped_by)

    def _expire(self, attempt: Attempt) -> None:
        attempt.expired = True
        attempt.ask()
        attempt.timer = attempt.loop.call_later(self._grace, self._give_up, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        thread = attempt.thread
        if thread is None or attempt.over.done():
            return
        self._running.discard(attempt)
        self._threads.discard(thread)
        self._stuck.add(thread)
        self._replaced += 1
        attempt.duration = perf_counter() - attempt.begun if attempt.begun else 0.0
        if not attempt.future.done():
            body = timed_out(attempt.spec, "quarantine")
            attempt.future.set_result(self._outcome(attempt, "failure", body, stopped_by="quarantine"))
        if not attempt.over.done():
            attempt.over.set_result(None)
        self._hand_out()

    async def _stop(self, attempt: Attempt) -> None:
        """The awaiting task was cancelled: ask, wait a little, else quarantine."""
        if attempt.thread is None:
            if attempt in self._waiting:
                self._waiting.remove(attempt)
            return
        if attempt.over.done():
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        attempt.ask()
        attempt.timer = attempt.loop.call_later(self._grace, self._give_up, attempt)
        while not attempt.over.done():
            try:
                await asyncio.shield(attempt.over)
            except asyncio.CancelledError:
                continue

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Nothing is refused: a coroutine runs on a loop of the thread's own."""
        return unenforceable(unit, task, "thread")

    def health(self) -> LaneHealth:
        """Threads, queue and quarantine right now."""
        workers = [thread.described() for thread in (*self._threads, *self._stuck)]
        running = len(self._threads) - len(self._idle)
        return LaneHealth(
            "thread",
            workers + self._fleet.describe("thread"),
            len(self._waiting),
            running,
            len(self._stuck),
            self._replaced,
        )

    async def retire(self, unit_key: str) -> None:
        """Let a package's worker finish, then close it."""
        await self._fleet.retire(unit_key, "thread")

    async def close(self, *, grace: float) -> None:
        """Ask what runs to stop, wait up to `grace` seconds, then leave stuck threads to the end of the process."""
        if not self._closed:
            self._closed = True
            while self._waiting:
                attempt = self._waiting.popleft()
                if not attempt.future.done():
                    attempt.future.set_result(_closed(attempt.spec))
            running = list(self._running)
            pending = [attempt.over for attempt in running]
            if pending:
                _, left = await asyncio.wait(pending, timeout=grace)
                if left:
                    for attempt in running:
                        attempt.ask()
                    await asyncio.wait(left, timeout=self._grace)
                    for attempt in running:
                        self._give_up(attempt)
            for thread in self._threads:
                thread.end()
            self._threads.clear()
            self._idle.clear()
        await self._fleet.close(grace=grace)


def _closed(spec: TaskSpec) -> Outcome:
    message = f"the thread lane is not open, so task {spec.id!r} was not run"
    return Outcome(
        "failure", failure_body(failure_record("lost_lane", "LaneError", message)), time(), lane="thread"
    )


def _exhausted(spec: TaskSpec, stuck: int) -> Outcome:
    message = (
        f"task {spec.id!r} was not run: all {stuck} threads of the lane are stuck in attempts that could not be "
        "stopped. Move the tasks that block to the interpreter or process lane"
    )
    return Outcome(
        "failure", failure_body(failure_record("lost_lane", "LaneError", message)), time(), lane="thread"
    )
