"""What one outcome changes: rows, events, tasks that can start, and perhaps the run's end. No clock, no store."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from laneway._core.context import decode_object, join_object
from laneway._core.errors import ContextConflict
from laneway._core.events import EventRow
from laneway._core.failures import MissingKey
from laneway._core.plan import Plan
from laneway._core.records import NO_ITEM, RunEnd, SavedRun, StepRow, Transition, made
from laneway._core.rows import (
    EVENT_OF,
    STOPPED,
    UPSTREAM,
    UPSTREAM_DATA,
    Ended,
    failed_before,
    failure_of_row,
    history,
    noted,
    plain_row,
)
from laneway._core.transitions import (
    TERMINAL,
    MapState,
    RunState,
    final_context,
    items_of,
    restored,
    settle,
    verdict,
)

__all__ = ["Change", "Stopped", "ended_before", "given_up"]


class Stopped(NamedTuple):
    """An attempt that was under way when its run was stopped."""

    since: float
    lane: str
    rung: str
    """Of the stopping ladder: what it took to end it."""


class Change:
    """Collects what happens to a run at one moment; `transition` is what the store gets.

    Changes the state at once: what the store must do is only ever handed over, in order, and never taken back.
    """

    __slots__ = ("end", "events", "now", "ready", "run", "state", "steps")

    def __init__(self, run: bytes, state: RunState, now: float) -> None:
        self.run = run
        self.state = state
        self.now = now
        self.steps: list[StepRow] = []
        self.events: list[EventRow] = []
        self.ready: list[int] = []
        """Tasks that can start once this is durable."""
        self.end: RunEnd | None = None

    def step(self, index: int, row: StepRow, parts: Ended) -> None:
        """A step ended with that row."""
        self._noted(row, noted(row.attempt, parts.error))
        if row.item == NO_ITEM:
            self.state.patches[index] = parts.patch
            self._settle(index, row.status)
            return
        mapped = self.state.maps[index]
        mapped.results[row.item] = parts.stored if row.status == "succeeded" else None
        mapped.items[row.item] = b""
        mapped.failed += row.status == "failed"
        mapped.left -= 1
        mapped.under_way -= 1
        if mapped.left == 0:
            self._close_map(index, mapped)

    def waiting(self, row: StepRow) -> None:
        """A step failed and waits for its next attempt."""
        self.state.rows[row.task, row.item] = row
        self.steps.append(row)
        data = noted(row.attempt, row.error, next=row.due)
        self.events.append(EventRow(self.run, "step_retrying", row.task, row.item, self.now, data))

    def asleep(self, row: StepRow) -> None:
        """A step waits for what it asked for."""
        self.state.rows[row.task, row.item] = row
        self.steps.append(row)
        data = None if row.due is None else b'{"due":%f}' % row.due
        self.events.append(EventRow(self.run, "step_waiting", row.task, row.item, self.now, data))

    def rest(self, status: str, due: float | None, data: bytes | None = None) -> None:
        """Nothing can go on by itself now (`suspended`), or somebody wants it so (`paused`)."""
        self.end = RunEnd(status, self.now, None, None, due)
        self.events.append(EventRow(self.run, f"run_{status}", None, NO_ITEM, self.now, data))

    def open_map(self, index: int) -> MapState | None:
        """Begin a mapped task, with the items that were recorded before a restart; None if it ended right there."""
        try:
            mapped = MapState(items_of(self.state, index))
        except (MissingKey, TypeError, ContextConflict) as error:
            self._close_task(index, "failed", failed_before(error))
            return None
        if self.state.rows:
            for number in range(len(mapped.items)):
                row = ended_before(self.state, index, number)
                if row is not None:
                    mapped.results[number] = row.patch if row.status == "succeeded" else None
                    mapped.failed += row.status == "failed"
                    mapped.left -= 1
        self.state.maps[index] = mapped
        if mapped.left == 0:
            self._close_map(index, mapped)
            return None
        return mapped

    def cancelled(self, running: Mapping[tuple[str, int], Stopped], late: bytes | None = None) -> None:
        """The run was cancelled, or failed by its deadline, while those attempts were under way."""
        for (task, item), (since, lane, rung) in running.items():
            before = self.state.rows.get((task, item))
            row = plain_row(
                self.run,
                task,
                item,
                "cancelled",
                attempt=1 if before is None else before.attempt + 1,
                started=since,
                duration=self.now - since,
                error=STOPPED,
            )._replace(lane=lane, stopped_by=rung, attempts=None if before is None else history(before))
            self._noted(row, None)
        for key, row in self.state.rows.items():
            if row.status == "waiting":
                self.state.rows[key] = ended = _stopped(row)
                self.steps.append(ended)
        for index, name in enumerate(self.state.plan.names):
            known = self.state.rows.get((name, NO_ITEM))
            if self.state.status[index] == "pending" and (known is None or known.status not in TERMINAL):
                row = plain_row(self.run, name, NO_ITEM, "cancelled", error=STOPPED)
                self.state.rows[name, NO_ITEM] = row
                self.steps.append(row)
        if late is None:
            self._end("cancelled", None)
        else:
            self._end("failed", late)

    def end_if_over(self) -> bool:
        """End the run if all its tasks are over."""
        if self.state.left:
            return False
        status = verdict(self.state)
        error = None
        if status == "failed":
            failed = self.state.failed or next(
                one for one in self.state.rows.values() if one.status == "failed"
            )
            error = msgspec.json.encode(failure_of_row(failed))
        self._end(status, error)
        return True

    def transition(self) -> Transition:
        """All of it, for one transaction."""
        return made(Transition, (self.run, self.steps, self.events, self.end, None))

    def _end(self, status: str, error: bytes | None) -> None:
        self.end = RunEnd(status, self.now, join_object(final_context(self.state)), error)
        self.events.append(EventRow(self.run, f"run_{status}", None, NO_ITEM, self.now))

    def _noted(self, row: StepRow, data: bytes | None) -> None:
        self.state.rows[row.task, row.item] = row
        if row.status == "failed" and row.error is not None and self.state.failed is None:
            self.state.failed = row
        self.steps.append(row)
        event = (self.run, EVENT_OF[row.status], row.task, row.item, self.now, data)
        self.events.append(made(EventRow, event))

    def _close_map(self, index: int, mapped: MapState) -> None:
        self.state.patches[index] = {self.state.plan.names[index]: mapped.joined()}
        self.state.maps.pop(index, None)
        self._close_task(index, "failed" if mapped.failed else "succeeded", None)

    def _close_task(self, index: int, status: str, error: bytes | None) -> None:
        """End a task that has no single outcome: a mapped one, or one whose list is not there."""
        self._noted(plain_row(self.run, self.state.plan.names[index], NO_ITEM, status, error=error), None)
        self._settle(index, status)

    def _settle(self, index: int, status: str) -> None:
        ready, skipped = settle(self.state, index, status)
        self.ready += ready
        for one in skipped:
            name = self.state.plan.names[one]
            row = plain_row(self.run, name, NO_ITEM, "skipped", error=UPSTREAM)
            self._noted(row, UPSTREAM_DATA)


def given_up(saved: SavedRun, plan: Plan | None, now: float) -> Transition:
    """What cancels a run that nobody drives.

    Without its plan nobody knows in which order its patches belong: its final context is the initial one then.
    """
    record = saved.record
    if plan is not None and plan.version == record.version:
        change = Change(record.run, restored(plan, decode_object(record.context), saved.steps)[0], now)
        change.cancelled({})
        cancelled = change.transition()
    else:
        steps = [_stopped(row) for row in saved.steps if row.status not in TERMINAL]
        event = EventRow(record.run, "run_cancelled", None, NO_ITEM, now)
        cancelled = Transition(record.run, steps, [event], RunEnd("cancelled", now, record.context, None))
    end = cancelled.end
    return cancelled if end is None else cancelled._replace(end=end._replace(parent=record.parent))


def _stopped(row: StepRow) -> StepRow:
    """A step that waited, or whose engine is gone, when its run was stopped."""
    return row._replace(status="cancelled", due=None, patch=None, error=STOPPED, attempts=history(row))


def ended_before(state: RunState, index: int, item: int) -> StepRow | None:
    """The recorded row of a step that needs no further attempt."""
    row = state.rows.get((state.plan.names[index], item))
    return row if row is not None and row.status in TERMINAL and row.status != "cancelled" else None
