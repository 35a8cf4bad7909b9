"""One live run: hands ready steps to lanes, and what comes back to the store. The only user of both."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from laneway import aio
from laneway._core.context import decode_object, join_object
from laneway._core.errors import ContextConflict, LanewayError, StoreFenced, StoreUnavailable
from laneway._core.events import EventRow
from laneway._core.failures import Failure, MissingKey, failure_record, kind_of
from laneway._core.plan import Plan
from laneway._core.records import NO_ITEM, RunEnd, StepRow, Transition
from laneway._core.retry import delay_before
from laneway._core.transitions import (
    TERMINAL,
    MapState,
    RunState,
    final_context,
    items_of,
    payload_of,
    settle,
    verdict,
)
from laneway.engine.results import failure_of
from laneway.engine.surroundings import Surroundings, log
from laneway.ports import Lane, Outcome, StepOrder, Unit

__all__ = ["Driver"]

_WINDOW = 256
"""Items of one mapped task that are on their way at once; bounds memory however long the list is."""
_STORE_PAUSE = 1.0
"""Seconds between two tries while the store cannot be written."""
_YIELD_EVERY = 128
"""Steps launched before other users of the event loop get their turn."""

_encode = msgspec.json.encode


class Driver:
    """Drives one run to its end.

    `finished` is set with the run's final status once that is durable, or fails when this engine may not go on
    (its lease is lost) or is closed first.
    """

    def __init__(
        self,
        around: Surroundings,
        run: bytes,
        text_id: str,
        state: RunState,
        units: Sequence[Unit],
        lanes: Sequence[Lane],
        *,
        deferred: bool = False,
    ) -> None:
        self.run = run
        self.text_id = text_id
        self.state = state
        self.plan: Plan = state.plan
        self._units = units
        self.end: RunEnd | None = None
        self.kept = sum(1 for row in state.rows.values() if row.status == "succeeded")
        self.finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.running: dict[tuple[str, int], float] = {}
        self.stopping = ""
        self._around = around
        self._lanes = lanes
        self._ready: deque[tuple[int, int, bytes | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._pumping = False
        self._deferred: list[Transition] | None = [] if deferred else None
        self._metadata = [
            aio.TaskMetadata(operation_name=name, correlation_id=text_id, priority_hint=spec.priority)
            for name, spec in zip(self.plan.names, self.plan.tasks, strict=True)
        ]

    # ---- starting and stopping

    def begin(self, ready: Sequence[int]) -> None:
        """Start those tasks; of a restored run, what goes on."""
        steps: list[StepRow] = []
        events: list[EventRow] = []
        for index in ready:
            self._open(index, steps, events)
        if self.state.left == 0 or steps:
            self._spawn(self._end_now(steps, events), "settle")
        self._pump()

    async def cancel(self) -> None:
        """Stop every running step and record the run as cancelled."""
        if self.end is not None or self.stopping:
            return
        self.stopping = "cancel"
        await self._stop_tasks()
        if self.end is not None:  # it ended by itself meanwhile
            return
        now = self._around.now()
        name = self.plan.names
        steps = [
            self._row(task, item, "cancelled", started=started, error=_STOPPED)
            for (task, item), started in self.running.items()
        ]
        status = self.state.status
        steps += [self._row(name[index], NO_ITEM, "cancelled") for index in range(len(name)) if status[index] == "pending"]
        self.end = RunEnd("cancelled", now, join_object(final_context(self.state)), None)
        events = [EventRow(self.run, "step_cancelled", row.task, row.item, now) for row in steps if row.started]
        events.append(EventRow(self.run, "run_cancelled", None, NO_ITEM, now))
        for row in steps:
            self.state.rows[row.task, row.item] = row
        await self._commit(Transition(self.run, steps, events, self.end))
        self._finish()

    async def shut_down(self, grace: float) -> None:
        """Let running steps finish within `grace` seconds and commit, then stop them. The run can be resumed."""
        if self.end is not None and self.finished.done():
            return
        self.stopping = self.stopping or "shutdown"
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks), timeout=grace)
        await self._stop_tasks()
        await self._flush()
        if not self.finished.done():
            self.finished.set_result("interrupted")

    def abandon(self, error: LanewayError) -> None:
        """Another engine has this run now: stop here without writing anything."""
        self.stopping = "abandoned"
        for timer in self._timers:
            timer.cancel()
        for one in list(self._tasks):
            one.cancel()
        if not self.finished.done():
            self.finished.set_exception(error)
            self.finished.exception()  # looked at here, so that nobody has to

    async def _stop_tasks(self) -> None:
        self._ready.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        current = asyncio.current_task()
        stopped = [one for one in self._tasks if one is not current]
        for one in stopped:
            one.cancel()
        if stopped:
            await asyncio.wait(stopped)

    # ---- from ready to running

    def _open(self, index: int, steps: list[StepRow], events: list[EventRow]) -> None:
        """Make a task's step, or the steps of its items, ready to launch."""
        ready = [index]
        while ready:
            one = ready.pop()
            if self.plan.tasks[one].each is None:
                self._enqueue(one, NO_ITEM, None)
                continue
            try:
                mapped = MapState(items_of(self.state, one))
            except (MissingKey, TypeError, ContextConflict) as error:
                ready += self._close_task(one, "failed", _failure_from(error), steps, events)
                continue
            self.state.maps[one] = mapped
            self._recall(one, mapped)
            if mapped.left == 0:
                ready += self._close_map(one, mapped, steps, events)
            else:
                self._feed(one, mapped)

    def _recall(self, index: int, mapped: MapState) -> None:
        """Take the items that were recorded before a restart."""
        name = self.plan.names[index]
        if (name, 0) not in self.state.rows and not any(key[0] == name for key in self.state.rows):
            return
        for number in range(len(mapped.items)):
            row = self.state.rows.get((name, number))
            if row is not None and row.status in TERMINAL and row.status != "cancelled":
                mapped.results[number] = row.patch if row.status == "succeeded" else None
                mapped.failed += row.status == "failed"
                mapped.left -= 1

    def _feed(self, index: int, mapped: MapState) -> None:
        """Keep a window of a mapped task's items on their way."""
        name = self.plan.names[index]
        rows = self.state.rows
        window = max(_WINDOW, 4 * self.plan.tasks[index].batch)
        on_their_way = mapped.next - (len(mapped.items) - mapped.left)
        on_their_way = max(on_their_way, 0)
        while mapped.next < len(mapped.items) and on_their_way < window:
            number = mapped.next
            mapped.next += 1
            row = rows.get((name, number))
            if row is not None and row.status in TERMINAL and row.status != "cancelled":
                continue
            on_their_way += 1
            self._enqueue(index, number, mapped.items[number])

    def _enqueue(self, index: int, item: int, value: bytes | None) -> None:
        row = self.state.rows.get((self.plan.names[index], item))
        if row is not None and row.status == "waiting" and row.due is not None:
            self._later(row.due - self._around.now(), index, item, value)
        else:
            self._ready.append((index, item, value))

    def _later(self, seconds: float, index: int, item: int, value: bytes | None) -> None:
        def due() -> None:
            self._timers.discard(handle)
            self._ready.append((index, item, value))
            self._pump()

        handle = asyncio.get_running_loop().call_later(max(seconds, 0.0), due)
        self._timers.add(handle)

    def _pump(self) -> None:
        """Launch what is ready. Flat, however deep the graph: steps that end at once only add to the queue."""
        if self._pumping or self.stopping:
            return
        self._pumping = True
        launched = 0
        try:
            while self._ready and not self.stopping:
                index, item, value = self._ready.popleft()
                self._spawn(self._attempt(index, item, value), self.plan.names[index], self._metadata[index])
                launched += 1
                if launched == _YIELD_EVERY:
                    asyncio.get_running_loop().call_soon(self._pump)
                    break
        finally:
            self._pumping = False

    def _spawn(self, coroutine: Any, name: str, metadata: aio.TaskMetadata | None = None) -> None:
        task = aio.create_task(coroutine, name=name, metadata=metadata, eager_start=True)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif not task.cancelled() and (error := task.exception()) is not None:
            raise error

    # ---- one attempt

    async def _attempt(self, index: int, item: int, value: bytes | None) -> None:
        try:
            outcome = await self._outcome(index, item, value)
            await self._advance(index, item, value, outcome)
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        except StoreFenced as error:
            self.abandon(error)
        except Exception as error:
            log.exception("run %s cannot go on", self.text_id)
            if not self.finished.done():
                self.finished.set_exception(error)

    async def _outcome(self, index: int, item: int, value: bytes | None) -> Outcome:
        spec = self.plan.tasks[index]
        name = spec.id
        row = self.state.rows.get((name, item))
        attempt = 1 if row is None else row.attempt + 1
        try:
            payload = payload_of(self.state, index, value)
        except (MissingKey, ContextConflict) as error:
            return Outcome("failure", _encode(_failure_from(error)), started=self._around.now())
        lane = self._lanes[index]
        order = StepOrder(
            self._units[index],
            spec,
            payload,
            self.text_id,
            None if item == NO_ITEM else item,
            attempt,
            self.plan.workflow.name,
        )
        self.running[name, item] = self._around.now()
        outcome = await lane.run(order)
        del self.running[name, item]
        return outcome

    async def _advance(self, index: int, item: int, value: bytes | None, outcome: Outcome) -> None:
        """Record an outcome and go on with what it makes possible."""
        spec = self.plan.tasks[index]
        name = spec.id
        now = self._around.now()
        before = self.state.rows.get((name, item))
        attempt = 1 if before is None else before.attempt + 1
        kind = outcome.kind
        if kind == "failure" and attempt <= spec.retries:
            await self._retry(index, item, value, outcome, attempt, before)
            return
        patch, removed, error = _parts(outcome, name, mapped=item != NO_ITEM)
        status = _STATUS[kind]
        row = StepRow(
            self.run,
            name,
            item,
            status,
            attempt,
            outcome.lane,
            outcome.worker,
            outcome.started,
            outcome.duration,
            outcome.stopped_by,
            patch,
            removed,
            error,
            None if before is None else _history(before),
            outcome.output,
            None,
        )
        self.state.rows[name, item] = row
        if error is not None and self.state.failed is None:
            self.state.failed = row
        data = b'{"attempt":%d}' % attempt if error is None else _encode({"attempt": attempt, "error": _summary(error)})
        steps = [row]
        events = [EventRow(self.run, _EVENT[status], name, item, now, data)]
        if item == NO_ITEM:
            if status == "succeeded":
                self.state.patches[index] = _patch_of(patch, removed)
            ready = settle_with_rows(self, index, status, steps, events)
        else:
            ready = self._advance_map(index, item, status, patch, steps, events)
        await self._commit(Transition(self.run, steps, events, self._ending(events)))
        if self.end is not None:
            self._finish()
            return
        self._go_on(ready)

    def _advance_map(
        self, index: int, item: int, status: str, value: bytes | None, steps: list[StepRow], events: list[EventRow]
    ) -> list[int]:
        mapped = self.state.maps[index]
        mapped.results[item] = value if status == "succeeded" else None
        mapped.items[item] = b""
        mapped.failed += status == "failed"
        mapped.left -= 1
        if mapped.left == 0:
            return self._close_map(index, mapped, steps, events)
        self._feed(index, mapped)
        self._pump()
        return []

    def _close_map(self, index: int, mapped: MapState, steps: list[StepRow], events: list[EventRow]) -> list[int]:
        self.state.patches[index] = {self.plan.names[index]: mapped.joined()}
        del self.state.maps[index]
        return self._close_task(index, "failed" if mapped.failed else "succeeded", None, steps, events)

    def _close_task(
        self, index: int, status: str, failure: Failure | None, steps: list[StepRow], events: list[EventRow]
    ) -> list[int]:
        """End a task that has no single outcome: a mapped one, or one whose list is not there."""
        name = self.plan.names[index]
        error = None if failure is None else _encode(failure)
        row = self._row(name, NO_ITEM, status, error=error)
        self.state.rows[name, NO_ITEM] = row
        if error is not None and self.state.failed is None:
            self.state.failed = row
        steps.append(row)
        events.append(EventRow(self.run, _EVENT[status], name, NO_ITEM, self._around.now()))
        return settle_with_rows(self, index, status, steps, events)

    async def _end_now(self, steps: list[StepRow], events: list[EventRow]) -> None:
        """Commit what was decided without any attempt, such as an empty list."""
        await self._commit(Transition(self.run, steps, events, self._ending(events)))
        if self.end is not None:
            self._finish()

    def _go_on(self, ready: Sequence[int]) -> None:
        if not ready:
            self._pump()
            return
        steps: list[StepRow] = []
        events: list[EventRow] = []
        for index in ready:
            self._open(index, steps, events)
        if steps:
            self._spawn(self._end_now(steps, events), "settle")
        self._pump()

    async def _retry(
        self, index: int, item: int, value: bytes | None, outcome: Outcome, attempt: int, before: StepRow | None
    ) -> None:
        now = self._around.now()
        name = self.plan.names[index]
        delay = delay_before(attempt + 1, self._around.spread())
        row = StepRow(
            self.run,
            name,
            item,
            "waiting",
            attempt,
            outcome.lane,
            outcome.worker,
            outcome.started,
            outcome.duration,
            outcome.stopped_by,
            None,
            None,
            outcome.body,
            None if before is None else _history(before),
            outcome.output,
            now + delay,
        )
        self.state.rows[name, item] = row
        data = _encode({"attempt": attempt, "error": _summary(outcome.body), "next": now + delay})
        await self._commit(Transition(self.run, [row], [EventRow(self.run, "step_retrying", name, item, now, data)]))
        self._later(delay, index, item, value)

    # ---- to the store

    def _ending(self, events: list[EventRow]) -> RunEnd | None:
        """The run's end if all its tasks are over, to go into the same transaction."""
        if self.state.left or self.end is not None:
            return None
        status = verdict(self.state)
        error = None
        if status == "failed":
            failed = self._first_failure()
            error = None if failed is None else _encode(failure_of(failed))
        now = self._around.now()
        self.end = RunEnd(status, now, join_object(final_context(self.state)), error)
        events.append(EventRow(self.run, f"run_{status}", None, NO_ITEM, now))
        return self.end

    def _first_failure(self) -> StepRow | None:
        if self.state.failed is not None:
            return self.state.failed
        return next((row for row in self.state.rows.values() if row.status == "failed" and row.error), None)

    async def _commit(self, transition: Transition) -> None:
        """Make it durable, however long that takes: a failed write is told and tried again, never dropped."""
        if self._deferred is not None and transition.end is None:
            self._deferred.append(transition)
            self._around.tell(transition.events)
            return
        if self._deferred:
            transition = _joined([*self._deferred, transition])
            self._deferred.clear()
        troubled = False
        while True:
            try:
                await self._around.store.commit(transition)
                break
            except StoreFenced:
                raise
            except StoreUnavailable as error:
                if not troubled:
                    log.error("run %s waits for the store: %s", self.text_id, error)
                troubled = True
                await asyncio.sleep(_STORE_PAUSE)
        if troubled:
            log.warning("the store is back; run %s goes on", self.text_id)
        self._around.tell(transition.events)

    async def _flush(self) -> None:
        if self._deferred:
            joined = _joined(self._deferred)
            self._deferred.clear()
            await self._around.store.commit(joined)

    def _finish(self) -> None:
        if self.end is not None and not self.finished.done():
            self.finished.set_result(self.end.status)

    def _row(
        self, name: str, item: int, status: str, *, started: float = 0.0, error: bytes | None = None
    ) -> StepRow:
        duration = self._around.now() - started if started else 0.0
        attempt = 1 if started else 0
        return StepRow(
            self.run, name, item, status, attempt, "", "", started, duration, "", None, None, error, None, "", None
        )


def settle_with_rows(
    driver: Driver, index: int, status: str, steps: list[StepRow], events: list[EventRow]
) -> list[int]:
    """Settle a task and add rows for what is skipped by that; returns what can start."""
    ready, skipped = settle(driver.state, index, status)
    for one in skipped:
        name = driver.plan.names[one]
        row = driver._row(name, NO_ITEM, "skipped", error=_UPSTREAM)  # noqa: SLF001 - one module
        driver.state.rows[name, NO_ITEM] = row
        steps.append(row)
        events.append(EventRow(driver.run, "step_skipped", name, NO_ITEM, events[0].at, _UPSTREAM_DATA))
    return ready


_STATUS = {
    "value": "succeeded",
    "patch": "succeeded",
    "failure": "failed",
    "stopped": "failed",
    "skipped": "skipped",
    "suspension": "waiting",
}
_EVENT = {
    "succeeded": "step_succeeded",
    "failed": "step_failed",
    "skipped": "step_skipped",
    "waiting": "step_retrying",
}
_UPSTREAM = _encode(failure_record("other", "upstream_failed", "a task it depends on did not succeed"))
_UPSTREAM_DATA = _encode({"reason": "upstream_failed"})
_STOPPED = _encode(failure_record("other", "Cancelled", "the run was cancelled"))


def _parts(outcome: Outcome, name: str, *, mapped: bool) -> tuple[bytes | None, bytes | None, bytes | None]:
    """An outcome as (patch, removed keys, error) for its row."""
    kind = outcome.kind
    if kind == "value":
        return (outcome.body if mapped else b"{" + _encode(name) + b":" + outcome.body + b"}"), None, None
    if kind == "patch":
        parts = decode_object(outcome.body)
        removed = parts.get("removed")
        return parts["set"], (None if mapped or removed in (None, b"[]") else removed), None
    if kind == "skipped":
        return None, None, None
    return None, None, outcome.body


def _patch_of(patch: bytes | None, removed: bytes | None) -> dict[str, bytes | None]:
    result: dict[str, bytes | None] = {} if patch is None else dict(decode_object(patch))
    if removed is not None:
        result.update(dict.fromkeys(msgspec.json.decode(removed, type=list[str])))
    return result


def _failure_from(error: BaseException) -> Failure:
    return failure_record(kind_of(error), type(error).__name__, str(error), "")


def _summary(error: bytes) -> dict[str, Any]:
    full = msgspec.json.decode(error, type=dict[str, Any])
    return {"kind": full.get("kind"), "type": full.get("type"), "message": full.get("message")}


def _history(row: StepRow) -> bytes:
    """All attempts so far, the latest one included, as the JSON list that the next row carries."""
    earlier: list[Mapping[str, Any]] = [] if row.attempts is None else msgspec.json.decode(row.attempts)
    return _encode(
        [
            *earlier,
            {
                "number": row.attempt,
                "status": "failed" if row.status == "waiting" else "lost" if row.status == "running" else row.status,
                "lane": row.lane,
                "worker": row.worker,
                "started": row.started,
                "ended": row.started + row.duration,
                "stopped_by": row.stopped_by,
                "error": None if row.error is None else msgspec.json.decode(row.error),
            },
        ]
    )


def _joined(transitions: Sequence[Transition]) -> Transition:
    """Several transitions of one run as one; of a step only its last row."""
    latest: dict[tuple[str, int], StepRow] = {}
    events: list[EventRow] = []
    for one in transitions:
        latest.update({(row.task, row.item): row for row in one.steps})
        events += one.events
    return Transition(transitions[0].run, list(latest.values()), events, transitions[-1].end)
