"""Running one attempt: from what a step gets to the outcome its lane gives back, with all who watch."""

from asyncio import current_task
from collections.abc import Sequence
from typing import Any

import msgspec

from laneway import _attempt, aio
from laneway._core.artifacts import MARK
from laneway._core.changes import Stopped
from laneway._core.errors import ContextConflict
from laneway._core.failures import MissingKey
from laneway._core.records import NO_ITEM
from laneway._core.rows import failed_before
from laneway._core.transitions import RunState, payload_of
from laneway.engine.surroundings import Surroundings
from laneway.ports import Lane, LiveRun, Outcome, StepOrder, Unit

__all__ = ["Attempts"]

_NOTABLE = ("failure", "stopped")


class Attempts:
    """Makes the attempts of one run's steps.

    Args:
        around: the time, and who watches.
        run: the run as text.
        state: where its inputs come from.
        units: per task the code to load.
        lanes: per task where it runs.
        correlation_id: what all of the run's tasks share, in logs and traces.
    """

    def __init__(
        self,
        around: Surroundings,
        run: str,
        state: RunState,
        units: Sequence[Unit],
        lanes: Sequence[Lane],
        correlation_id: str,
    ) -> None:
        self.running: dict[tuple[str, int], float] = {}
        """When each running step began."""
        self._rungs: dict[tuple[str, int], str] = {}
        """How far lanes had to go with steps whose attempts were cancelled."""
        self._around = around
        self._run = run
        self._state = state
        self._units = units
        self._lanes = lanes
        self._correlation_id = correlation_id
        self._about: dict[int, tuple[aio.TaskMetadata, dict[str, Any]]] = {}

    def metadata(self, index: int) -> tuple[aio.TaskMetadata, dict[str, Any]]:
        """What a task's attempts say about themselves: here, and to lanes."""
        about = self._about.get(index)
        if about is None:
            spec = self._state.plan.tasks[index]
            record = aio.TaskMetadata(
                operation_name=spec.id, correlation_id=self._correlation_id, priority_hint=spec.priority
            )
            about = self._about[index] = (
                record,
                {
                    "operation_name": spec.id,
                    "correlation_id": self._correlation_id,
                    "priority_hint": spec.priority,
                },
            )
        return about

    def lane(self, index: int) -> str:
        """The name of the lane that a task runs on."""
        return self._lanes[index].name

    def stopped(self) -> dict[tuple[str, int], Stopped]:
        """What was running when the run was stopped."""
        position = self._state.plan.position
        return {
            key: Stopped(since, self.lane(position[key[0]]), self._rungs.get(key, ""))
            for key, since in self.running.items()
        }

    async def outcome(self, driver: LiveRun, index: int, item: int, value: bytes | None) -> Outcome:
        """Run one attempt of a step of the driver's run to its end. Its metadata was asked for before."""
        state = self._state
        plan = state.plan
        spec = plan.tasks[index]
        key = (spec.id, item)
        before = state.rows.get(key)
        try:
            payload = payload_of(state, index, value)
        except (MissingKey, ContextConflict) as error:
            return Outcome("failure", failed_before(error), started=self._around.now())
        lane = self._lanes[index]
        order = StepOrder(
            self._units[index],
            spec,
            payload,
            self._run,
            None if item == NO_ITEM else item,
            1 if before is None else before.attempt + 1,
            plan.workflow.name,
            self._about[index][1],
        )
        around = self._around
        for attempt_started in around.on_attempt:
            order = attempt_started(driver, order)
        here = _attempt.Here(order, lane.name, around.artifacts.desk, around.inner, current_task())
        _attempt.current.set(here)
        self.running[key] = around.now()
        try:
            is_far = around.artifacts.are_far and MARK in payload
            outcome = await (around.artifacts.run(lane, order) if is_far else lane.run(order))
            if MARK in outcome.body:
                outcome = await around.artifacts.settle(lane, order, outcome)
        except BaseException as error:
            self._rungs[key] = str(getattr(error, "stopped_by", ""))
            for observer in around.observers:
                observer.attempt_dropped(driver, order)
            raise
        finally:
            here.task = None  # whose context has it: else both would be left to the garbage collector
        began = self.running.pop(key)
        if not outcome.started:  # whoever ran it was killed or lost, and never told when it began
            spent = outcome.duration or around.now() - began
            outcome = msgspec.structs.replace(
                outcome, started=max(began, around.now() - spent), duration=spent
            )
        if here.output is not None:
            # Stores hold no lone surrogates.
            printed = "".join(here.output).encode(errors="backslashreplace").decode()
            outcome = msgspec.structs.replace(outcome, output=printed)
        if around.on_notable:
            is_notable = outcome.kind in _NOTABLE or outcome.output or outcome.refusals
            for attempt_ended in around.on_notable if is_notable else around.on_outcome:
                outcome = attempt_ended(driver, order, outcome)
        return outcome
