"""One live run: hands ready steps to lanes, and what comes back to the store. The only user of both."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any, cast

import msgspec

import msgspec

from laneway import _attempt, aio
from laneway._core.changes import Change, ended_before
from laneway._core.errors import ContextConflict, StoreError, StoreUnavailable
from laneway._core.failures import MissingKey, failure_record
from laneway._core.plan import Plan
from laneway._core.records import NO_ITEM, Parent, RunEnd, Transition
from laneway._core.retry import delay_before
from laneway._core.rows import STATUS_OF, Ended, asleep, attempted, ended, failed_before, joined
from laneway._core.transitions import MapState, RunState, payload_of
from laneway._core.waiting import Waiting, ended_by_signal, ended_by_time, recalled, waiting_for
from laneway.engine.surroundings import Surroundings, log
from laneway.ports import Lane, Outcome, OutcomeKind, StepOrder, Unit

__all__ = ["Driver"]

_WINDOW = 256
"""Items of one mapped task that are on their way at once; bounds memory however long the list is."""
_STORE_PAUSE = 1.0
"""Seconds between two tries while the store cannot be written."""
_YIELD_EVERY = 128
"""Steps launched before other users of the event loop get their turn."""
_REST_AFTER = 2.0
"""A run is laid to rest when nothing of it goes on for longer than this many seconds."""
_LONGEST_TIMER = 86_400.0


class Wait:
    """A step that waits in a live run."""

    __slots__ = ("due", "timer", "value", "waiting")

    def __init__(self, value: bytes | None, due: float | None, waiting: Waiting | None) -> None:
        self.value = value
        self.due = due
        self.waiting = waiting
        self.timer: asyncio.TimerHandle | None = None


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
        self.running: dict[tuple[str, int], float] = {}
        self.stopping = ""
        self._around = around
        self._units = units
        self._lanes = lanes
        self._over = over
        self.on_close: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[int, int, bytes | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writes = 0
        self._pumping = False
        self._deferred: list[Transition] | None = [] if deferred else None
        self.signals: dict[str, bytes] = {}
        """What was sent to the run, by name; for those who ask later too."""
        self.disturbed = False
        """A signal came while the run was being laid to rest: somebody has to look again."""
        self._waits: dict[tuple[int, int], Wait] = {}
        self._deadline = deadline
        self._expiry: asyncio.TimerHandle | None = None
        self._about: dict[int, tuple[aio.TaskMetadata, dict[str, Any]]] = {}
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
        if self._waits:
            self._rest_if_idle()

    async def wait(self) -> str:
        """The run's final status, once it is durable.

        Raises:
            StoreFenced: another engine took the run over.
        """
        while self.status is None and self.failure is None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self.failure is not None:
            raise self.failure
        return self.status or "interrupted"

    async def cancel(self) -> None:
        """Stop every running step and record the run as cancelled."""
        await self._stop("cancel", None)

    async def _stop(self, why: str, late: bytes | None) -> None:
        if self.end is not None or self.stopping:
            return
        self.stopping = why
        await self._stop_tasks()
        change = self._change()
        change.cancelled(self.running, late)
        self._hand_over(change)
        await self.wait()

    def _expire(self) -> None:
        late = failure_record("timeout", "DeadlineExceeded", "the run's deadline passed before it ended")
        error = msgspec.json.encode({"task": "", "key": None, **late})
        aio.create_task(self._stop("deadline", error), name=f"deadline {self.text_id}")

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
        self.signals[name] = value
        self.disturbed = True
        for (index, item), wait in list(self._waits.items()):
            if wait.waiting is not None and wait.waiting.signal == name and not self.stopping:
                self._wake_step(index, item, ended_by_signal(wait.waiting, value))

    async def shut_down(self, grace: float) -> None:
        """Let running steps finish within `grace` seconds and commit, then stop them. The run can be resumed."""
        self.stopping = self.stopping or "shutdown"
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks), timeout=grace)
        await self._stop_tasks()
        if self._deferred and self.end is None:
            self._writes += 1
            self._store(joined(self._deferred), ())
            await self._written()
        elif self._writes:
            await self._written()
        self._close("interrupted")

    def abandon(self, error: BaseException) -> None:
        """Stop here without writing anything: another engine has this run now."""
        self.stopping = "abandoned"
        self.failure = error
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
        for wait in self._waits.values():
            if wait.timer is not None:
                wait.timer.cancel()
        if self._expiry is not None:
            self._expiry.cancel()

    async def _written(self) -> None:
        """Wait until what was handed to the store is durable."""
        while self._writes and self.status is None and self.failure is None:
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
        opening = list(ready)
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
        if self._ready:
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
        waiting = None if row is None else recalled(row)
        if row is not None and row.status == "waiting" and not (waiting is not None and waiting.child):
            self._later(index, item, value, row.due, waiting)
        else:
            self._ready.append((index, item, value))

    # ---- steps that wait

    def _later(
        self, index: int, item: int, value: bytes | None, due: float | None, waiting: Waiting | None
    ) -> None:
        """Have a step wait: for what it asked for, or (`waiting` None) for its next attempt."""
        wait = self._waits[index, item] = Wait(value, due, waiting)
        if waiting is not None and waiting.signal in self.signals:
            self._loop.call_soon(self._wake_step, index, item, ended_by_signal(waiting, self.signals[waiting.signal]))
        elif due is not None:
            seconds = min(max(due - self._around.now(), 0.0), _LONGEST_TIMER)
            wait.timer = self._loop.call_later(seconds, self._due, index, item)

    def _due(self, index: int, item: int) -> None:
        wait = self._waits.get((index, item))
        if wait is None or self.stopping:
            return
        left = (wait.due or 0.0) - self._around.now()
        if left > 0:
            wait.timer = self._loop.call_later(min(left, _LONGEST_TIMER), self._due, index, item)
        else:
            self._wake_step(index, item, None if wait.waiting is None else ended_by_time(wait.waiting))

    def _wake_step(self, index: int, item: int, outcome: tuple[str, bytes] | None) -> None:
        """End a waiting step with that outcome, or give it to its lane again."""
        wait = self._waits.get((index, item))
        if wait is None or self.stopping:
            return
        del self._waits[index, item]
        if wait.timer is not None:
            wait.timer.cancel()
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
        self._later(index, item, value, waiting.due, waiting)
        self._hand_over(change)

    def _rest_if_idle(self) -> None:
        """Lay the run to rest if all that is left of it waits, and not only for a moment."""
        if self.stopping or self.running or self._ready or self._writes or self.end is not None:
            return
        now = self._around.now()
        dues = [wait.due for wait in self._waits.values() if wait.due is not None]
        if dues and min(dues) - now < _REST_AFTER:
            return
        if any(wait.waiting is not None and wait.waiting.signal in self.signals for wait in self._waits.values()):
            return
        if self._deadline is not None:
            dues.append(self._deadline)
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
        about = self._metadata(index)[0]
        task = aio.create_task(coroutine, name=about.task_name(), metadata=about, eager_start=True)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _metadata(self, index: int) -> tuple[aio.TaskMetadata, dict[str, Any]]:
        """What a task's attempts say about themselves: here, and to lanes."""
        about = self._about.get(index)
        if about is None:
            spec = self.plan.tasks[index]
            record = aio.TaskMetadata(
                operation_name=spec.id, correlation_id=self.correlation_id, priority_hint=spec.priority
            )
            about = self._about[index] = record, {**record.as_dict()}
        return about

    def about(self, task: str) -> tuple[dict[str, Any], str]:
        """A task's metadata and lane, for people."""
        index = self.plan.names.index(task)
        return self._metadata(index)[1], self._lanes[index].name

    # ---- one attempt

    async def _attempt(self, index: int, item: int, value: bytes | None) -> None:
        try:
            self._advance(index, item, value, await self._outcome(index, item, value))
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: the run carries the error
            log.exception("run %s cannot go on", self.text_id)
            self.abandon(error)

    async def _outcome(self, index: int, item: int, value: bytes | None) -> Outcome:
        spec = self.plan.tasks[index]
        key = (spec.id, item)
        before = self.state.rows.get(key)
        try:
            payload = payload_of(self.state, index, value)
        except (MissingKey, ContextConflict) as error:
            return Outcome("failure", failed_before(error), started=self._around.now())
        order = StepOrder(
            self._units[index],
            spec,
            payload,
            self.text_id,
            None if item == NO_ITEM else item,
            1 if before is None else before.attempt + 1,
            self.plan.workflow.name,
            self._metadata(index)[1],
        )
        observers = self._around.observers
        for observer in observers:
            order = observer.attempt_started(self, order)
        here = _attempt.Here(order, self._lanes[index].name)
        _attempt.current.set(here)
        self.running[key] = self._around.now()
        try:
            outcome = await self._lanes[index].run(order)
        except BaseException:
            for observer in observers:
                observer.attempt_dropped(self, order)
            raise
        del self.running[key]
        if here.output is not None:
            outcome = msgspec.structs.replace(outcome, output="".join(here.output))
        for observer in observers:
            outcome = observer.attempt_ended(self, order, outcome)
        return outcome

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
        if parts.error is not None and attempt <= spec.retries:
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
        delay = delay_before(attempt + 1, self._around.spread())
        change = self._change()
        before = self.state.rows.get((name, item))
        row = attempted(self.run, name, item, "waiting", attempt, outcome, parts, before, change.now + delay)
        change.waiting(row)
        self._later(index, item, value, change.now + delay, None)
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
        if self._deferred is not None:
            self._deferred.append(transition)
            if transition.end is None:
                self._around.tell(transition.events)
                self._go_on(change.ready)
                if self._waits:
                    self._rest_if_idle()
                return
            transition = joined(self._deferred)
        self._writes += 1
        self._store(transition, change.ready)

    def _store(self, transition: Transition, ready: Sequence[int], troubled: bool = False) -> None:
        """Make it durable, however long that takes: a failed write is told and tried again, never dropped."""
        observers = self._around.observers
        handed = perf_counter() if observers else 0.0

        def answered(error: BaseException | None) -> None:
            if error is None:
                for observer in observers:
                    observer.committed(self, transition, perf_counter() - handed)
            if self.stopping == "abandoned":
                return
            if error is None:
                if troubled:
                    log.warning("the store is back; run %s goes on", self.text_id)
                self._durable(transition, ready)
            elif isinstance(error, StoreUnavailable):
                if not troubled:
                    log.error("run %s waits for the store: %s", self.text_id, error)
                self._loop.call_later(_STORE_PAUSE, self._again, transition, ready)
            else:
                if not isinstance(error, StoreError):
                    log.error("run %s cannot be recorded: %s", self.text_id, error)
                self.abandon(error)

        self._around.store.commit(transition, answered)

    def _again(self, transition: Transition, ready: Sequence[int]) -> None:
        if self.stopping != "abandoned":
            self._store(transition, ready, troubled=True)

    def _durable(self, transition: Transition, ready: Sequence[int]) -> None:
        self._writes -= 1
        if self._around.listeners:
            self._around.tell(transition.events)
        if transition.end is not None:
            self._close(transition.end.status)
        elif ready and not self.stopping:
            self._go_on(ready)
        if self._waits and not self._writes:
            self._rest_if_idle()
        if not self._writes and self.stopping:
            self._wake()
