"""One live run: hands ready steps to lanes, and what comes back to the store. The only user of both."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

import msgspec

from laneway import aio
from laneway._core.changes import Change, ended_before
from laneway._core.failures import failure_record
from laneway._core.plan import Plan
from laneway._core.records import NO_ITEM, Parent, RunEnd, Transition
from laneway._core.retry import delay_before, is_tried_again
from laneway._core.rows import STATUS_OF, Ended, asleep, attempted, ended
from laneway._core.transitions import MapState, RunState
from laneway._core.waiting import recalled, waiting_for
from laneway.engine.attempts import Attempts
from laneway.engine.ledger import Ledger
from laneway.engine.surroundings import Surroundings, log
from laneway.engine.waits import Waits
from laneway.ports import Lane, Outcome, OutcomeKind, Unit

__all__ = ["Driver"]

_WINDOW = 256
"""Items of one mapped task that are on their way at once; bounds memory however long the list is."""
_YIELD_EVERY = 128
"""Steps launched before other users of the event loop get their turn."""


class Driver:
    """Drives one run to its end.

    `over` is called once, with the run's id, when this engine has nothing more to do with it.
    """

    def __init__(
        self,
        around: Surroundings,
        run: bytes,
        text_id: str,
        state: RunState,
        units: Sequence[Unit],
        lanes: Sequence[Lane],
        over: Callable[[str], None],
        *,
        deferred: bool = False,
        correlation_id: str = "",
        tags: Mapping[str, str] = {},
        deadline: float | None = None,
        parent: Parent | None = None,
    ) -> None:
        self.run = run
        self.parent = parent
        self.runnable: Any = None
        """What `Runs` made it from, to go on with later."""
        self.text_id = text_id
        self.state = state
        self.plan: Plan = state.plan
        self.correlation_id = correlation_id or text_id
        self.tags = tags
        self.priority = 0
        """Of the run; adds to that of its tasks wherever steps wait."""
        self.end: RunEnd | None = None
        self.kept = sum(1 for row in state.rows.values() if row.status == "succeeded") if state.rows else 0
        self.status: str | None = None
        """How it came to its end, once that is durable; `interrupted` when the engine closed first."""
        self.failure: BaseException | None = None
        self.stopping = ""
        self._around = around
        # None of these knows the driver: a run that is over goes at once, without the garbage collector.
        self._attempts = Attempts(around, text_id, state, units, lanes, self.correlation_id)
        self.running = self._attempts.running
        self.waits = Waits(around.now)
        self.signals = self.waits.signals
        self._over = over
        self.on_close: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[int, int, bytes | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumping = False
        self._ledger = Ledger(around, text_id, deferred=deferred)
        self.disturbed = False
        """A signal came while the run was being laid to rest: somebody has to look again."""
        self._deadline = deadline
        self._expiry: asyncio.TimerHandle | None = None
        self.began = around.now()

    # ---- starting, waiting and stopping

    def begin(self, ready: Sequence[int]) -> None:
        """Start those tasks; of a restored run, what goes on."""
        if self._deadline is not None:
            left = self._deadline - self._around.now()
            self._expiry = self._loop.call_later(max(left, 0.0), self._expire)
        self._go_on(ready)
        if self.state.left == 0 and self.end is None:
            self._write(self._change())
        if self.waits:
            self._rest_if_idle()

    async def wait(self) -> str:
        """The run's final status, once it is durable.

        Raises:
            StoreFenced: another engine took the run over.
        """
        while self.status is None and self.failure is None:
            await self._something()
        if self.failure is not None:
            raise self.failure
        return self.status or "interrupted"

    async def cancel(self, why: str = "cancel", late: bytes | None = None) -> None:
        """Stop every running step and record the run as cancelled, or as failed with `late` (its deadline passed)."""
        if self.end is not None or self.stopping:
            return
        self.stopping = why
        await self._stop_tasks()
        change = self._change()
        change.cancelled(self._attempts.stopped(), late)
        self._hand_over(change)
        await self.wait()

    def _expire(self) -> None:
        late = failure_record("timeout", "DeadlineExceeded", "the run's deadline passed before it ended")
        error = msgspec.json.encode({"task": "", "key": None, **late})
        aio.create_task(self.cancel("deadline", error), name=f"deadline {self.text_id}")

    async def pause(self) -> None:
        """Let running steps finish, start nothing more and lay the run to rest until somebody resumes it."""
        if self.end is not None or self.stopping:
            return
        self.stopping = "pause"
        self._ready.clear()
        self._stop_timers()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        if self.end is None:
            change = self._change()
            change.rest("paused", None)
            self._hand_over(change)
        await self.wait()

    def signalled(self, name: str, value: bytes) -> None:
        """A signal came."""
        self.disturbed = True
        self.waits.signalled(name, value)

    async def shut_down(self, grace: float) -> None:
        """Let running steps finish within `grace` seconds and commit, then stop them."""
        self.stopping = self.stopping or "shutdown"
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks), timeout=grace)
        await self._stop_tasks()
        if self.end is None:
            self._ledger.flush(self)
        await self._ledger.finish(self._written(), grace)
        self._close("interrupted")

    def abandon(self, error: BaseException) -> None:
        """Stop here without writing anything: another engine has this run now."""
        self.stopping = "abandoned"
        self.failure = error
        self._ledger.is_abandoned = True
        self._stop_timers()
        for one in list(self._tasks):
            one.cancel()
        self._close("abandoned")

    async def _stop_tasks(self) -> None:
        self._ready.clear()
        self._stop_timers()
        tasks = list(self._tasks)
        for one in tasks:
            one.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _stop_timers(self) -> None:
        self.waits.stop()
        if self._expiry is not None:
            self._expiry.cancel()

    async def _written(self) -> None:
        """Wait until what was handed to the store is durable."""
        while self._ledger.under_way and self.status is None and self.failure is None:
            await self._something()

    async def _something(self) -> None:
        """Wait for the next time the run is looked at again."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _close(self, status: str) -> None:
        if self.status is None:
            self.status = status
            if self._expiry is not None:
                self._expiry.cancel()
            self._over(self.text_id)
            for observer in self._around.observers:
                observer.run_left(self)
            for callback in self.on_close:
                callback()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- from ready to running

    def _change(self) -> Change:
        return Change(self.run, self.state, self._around.now())

    def _go_on(self, ready: Sequence[int]) -> None:
        """Open the tasks that became ready. What ends right there (an empty list) is written by itself."""
        change: Change | None = None
        opening = [*ready]
        while opening:
            index = opening.pop(0)
            if self.plan.tasks[index].each is None:
                self._enqueue(index, NO_ITEM, None)
                continue
            change = change or self._change()
            mapped = change.open_map(index)
            if mapped is None:
                opening += change.ready
                change.ready = []
            else:
                self._feed(index, mapped)
        if change is not None and change.steps:
            self._write(change)
        if self._ready and not self._pumping:
            self._pump()

    def _feed(self, index: int, mapped: MapState) -> None:
        """Keep a window of a mapped task's items on their way."""
        window = max(_WINDOW, 4 * self.plan.tasks[index].batch)
        while mapped.next < len(mapped.items) and mapped.under_way < window:
            number = mapped.next
            mapped.next += 1
            if self.kept and ended_before(self.state, index, number) is not None:
                continue
            mapped.under_way += 1
            self._enqueue(index, number, mapped.items[number])

    def _enqueue(self, index: int, item: int, value: bytes | None) -> None:
        row = self.state.rows.get((self.plan.names[index], item)) if self.state.rows else None
        if row is not None and row.status == "waiting":
            waiting = recalled(row)
            if waiting is None or not waiting.child:
                self.waits.add(index, item, value, row.due, waiting, self._wake_step)
                return
        self._ready.append((index, item, value))

    def _wake_step(self, index: int, item: int, outcome: tuple[str, bytes] | None) -> None:
        """End a waiting step with that outcome, or give it to its lane again."""
        wait = None if self.stopping else self.waits.take(index, item)
        if wait is None:
            return
        if outcome is None:
            self._ready.append((index, item, wait.value))
            self._pump()
            return
        before = self.state.rows[self.plan.names[index], item]
        began = before.started or self._around.now()
        kind, body = outcome
        came = Outcome(cast("OutcomeKind", kind), body, began, before.duration, before.lane, before.worker)
        self._advance(index, item, wait.value, came)

    def _suspend(self, index: int, item: int, value: bytes | None, outcome: Outcome) -> None:
        """A task asked to wait: record it, and hold nothing meanwhile."""
        change = self._change()
        name = self.plan.names[index]
        waiting = waiting_for(outcome.body, change.now)
        before = self.state.rows.get((name, item))
        change.asleep(asleep(self.run, name, item, outcome, before, waiting.body, waiting.due))
        self.waits.add(index, item, value, waiting.due, waiting, self._wake_step)
        self._hand_over(change)

    def _rest_if_idle(self) -> None:
        """Lay the run to rest if all that is left of it waits, and not only for a moment."""
        busy = self.stopping or self.running or self._ready or self._ledger.under_way or self.end is not None
        if busy or not self.waits.are_long():
            return
        dues = [due for due in (self.waits.next_due(), self._deadline) if due is not None]
        self.stopping = "rest"
        self.disturbed = False
        self._stop_timers()
        change = self._change()
        change.rest("suspended", min(dues, default=None))
        self._hand_over(change)

    def _pump(self) -> None:
        """Launch what is ready. Flat, however deep the graph: steps that end at once only add to the queue."""
        if self._pumping:
            return
        self._pumping = True
        launched = 0
        try:
            while self._ready and not self.stopping:
                if launched == _YIELD_EVERY:
                    self._loop.call_soon(self._pump)
                    break
                index, item, value = self._ready.popleft()
                self._launch(index, self._attempt(index, item, value))
                launched += 1
        finally:
            self._pumping = False

    def _launch(self, index: int, coroutine: Coroutine[Any, Any, None]) -> None:
        about = self._attempts.metadata(index)[0]
        task = aio.create_task(coroutine, metadata=about, eager_start=True)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def about(self, task: str) -> tuple[dict[str, Any], str]:
        """A task's metadata and lane, for people."""
        index = self.plan.names.index(task)
        return self._attempts.metadata(index)[1], self._attempts.lane(index)

    async def _attempt(self, index: int, item: int, value: bytes | None) -> None:
        try:
            self._advance(index, item, value, await self._attempts.outcome(self, index, item, value))
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: the run carries the error
            log.exception("run %s cannot go on", self.text_id)
            self.abandon(error)

    def _advance(self, index: int, item: int, value: bytes | None, outcome: Outcome) -> None:
        """Record an outcome and, once that is durable, go on with what it makes possible."""
        spec = self.plan.tasks[index]
        name = spec.id
        before = self.state.rows.get((name, item))
        attempt = 1 if before is None else before.attempt + 1
        if outcome.kind == "suspension":
            self._suspend(index, item, value, outcome)
            return
        parts = ended(outcome.kind, outcome.body, name, mapped=item != NO_ITEM)
        if parts.error is not None and spec.retries and is_tried_again(spec, attempt, parts.error):
            self._retry(index, item, value, outcome, attempt, parts)
            return
        change = self._change()
        row = attempted(self.run, name, item, STATUS_OF[outcome.kind], attempt, outcome, parts, before, None)
        change.step(index, row, parts)
        mapped = self.state.maps.get(index)
        if mapped is not None and mapped.next < len(mapped.items):
            self._feed(index, mapped)
            self._pump()
        self._write(change)

    def _retry(
        self, index: int, item: int, value: bytes | None, outcome: Outcome, attempt: int, parts: Ended
    ) -> None:
        name = self.plan.names[index]
        delay = delay_before(attempt + 1, self._around.spread(), self.plan.tasks[index].backoff)
        change = self._change()
        before = self.state.rows.get((name, item))
        row = attempted(self.run, name, item, "waiting", attempt, outcome, parts, before, change.now + delay)
        change.waiting(row)
        self.waits.add(index, item, value, change.now + delay, None, self._wake_step)
        self._hand_over(change)

    # ---- to the store

    def _write(self, change: Change) -> None:
        """Hand a change to the store, with the run's end in the same transaction when all its tasks are over."""
        if self.end is None:
            change.end_if_over()
        self._hand_over(change)

    def _hand_over(self, change: Change) -> None:
        transition = change.transition()
        if transition.end is not None:
            if self.parent is not None:
                transition = transition._replace(end=transition.end._replace(parent=self.parent))
            self.end = transition.end
        if not self._ledger.hand_over(self, transition, change.ready):
            self.durable(transition, change.ready)

    def durable(self, transition: Transition, ready: Sequence[int]) -> None:
        """A transition is durable: go on with what it makes possible."""
        if transition.end is not None:
            self._close(transition.end.status)
        elif ready and not self.stopping:
            self._go_on(ready)
        if self.waits and not self._ledger.under_way:
            self._rest_if_idle()
        if not self._ledger.under_way and self.stopping:
            self._wake()
