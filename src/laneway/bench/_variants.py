"""The ways to run the same calls: directly in a program of their own, and through a lane."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from laneway import _attempt, aio
from laneway._core.model import TaskSpec
from laneway.bench._inline import digest_of
from laneway.ports import Lane, Outcome, StepOrder, Unit

__all__ = ["Batch", "CallsFailed", "Inline", "OnLane"]

_DONE = ("value", "patch")
_BATCH_LIMITS = ("wall_seconds", "cpu_seconds", "context_kib", "output_kib", "concurrency", "stop")
"""Limits of one attempt; inline, many calls are one attempt."""
_SHOWN = 120


class CallsFailed(Exception):
    """A call did not give a result; says why."""


class Batch(NamedTuple):
    """What running some calls took and gave."""

    seconds: float
    """For all of them."""
    each: list[float]
    """For one call each, where they ran one after another."""
    digests: list[str]
    shown: dict[str, str]
    """The beginning of what came out, by digest."""
    outside: Sequence[float] = ()
    """What of `each` was spent outside the task."""
    cpu_seconds: float = 0.0


class Inline:
    """Calls the task directly, in a worker process that does nothing else."""

    name = "inline"

    def __init__(self, processes: Lane, orders: Sequence[StepOrder]) -> None:
        self._lane = processes
        self._unit = _batch_unit(orders[0].unit)
        self._spec = orders[0].task.described()
        self._orders = orders

    async def run(self, numbers: Sequence[int]) -> Batch:
        """The calls with those inputs, one after another.

        Raises:
            CallsFailed: the task raised, or its process died.
        """
        payload = msgspec.json.encode(
            {
                "spec": self._spec,
                "inputs": [msgspec.Raw(self._orders[one].payload) for one in numbers],
                "calls": len(numbers),
            }
        )
        outcome = await self._lane.run(StepOrder(self._unit, _CALLED, payload, "bench"))
        found = _value(outcome)
        failure = found.get("failure")
        if failure is not None:
            raise CallsFailed(_told(failure))
        return Batch(
            sum(found["seconds"]),
            found["seconds"],
            found["digests"],
            found["shown"],
            cpu_seconds=found["cpu_seconds"],
        )


_CALLED = TaskSpec(
    "inline", "laneway.bench._inline:called", parameters=("spec", "inputs", "calls"), lane="process"
)


class OnLane:
    """Hands the calls to a lane as the engine does."""

    def __init__(self, lane: Lane, orders: Sequence[StepOrder]) -> None:
        self.name = lane.name
        self._lane = lane
        self._orders = orders

    async def run(self, numbers: Sequence[int]) -> Batch:
        """The calls with those inputs, handed over all at once.

        Raises:
            CallsFailed: one of them failed.
        """
        orders = [self._orders[one] for one in numbers]
        run = self._attempt
        begun = perf_counter()
        async with aio.TaskGroup() as group:
            tasks = [group.create_task(run(one)) for one in orders]
        seconds = perf_counter() - begun
        return self._batch(seconds, [], [one.result() for one in tasks])

    async def run_alone(self, numbers: Sequence[int]) -> Batch:
        """The same, each handed over when the one before is back.

        Raises:
            CallsFailed: one of them failed.
        """
        run = self._attempt
        each: list[float] = []
        outcomes: list[Outcome] = []
        for one in numbers:
            order = self._orders[one]
            begun = perf_counter()
            outcome = await run(order)
            each.append(perf_counter() - begun)
            outcomes.append(outcome)
        return self._batch(sum(each), each, outcomes)

    async def _attempt(self, order: StepOrder) -> Outcome:
        _attempt.current.set(_attempt.Here(order, self.name))
        return await self._lane.run(order)

    def _batch(self, seconds: float, each: list[float], outcomes: list[Outcome]) -> Batch:
        digests: list[str] = []
        shown: dict[str, str] = {}
        for outcome in outcomes:
            if outcome.kind not in _DONE:
                raise CallsFailed(_why(outcome))
            digest = digest_of(outcome.kind, outcome.body)
            digests.append(digest)
            shown.setdefault(digest, outcome.body[:_SHOWN].decode(errors="replace"))
        outside = [max(0.0, took - one.duration) for took, one in zip(each, outcomes, strict=False)]
        return Batch(seconds, each, digests, shown, outside)


def _batch_unit(unit: Unit) -> Unit:
    """The same code under a key of its own, so that its worker is nobody else's, without limits for one attempt."""
    limits = tuple(
        (name, value) for name, value in unit.limits if name.rpartition(".")[2] not in _BATCH_LIMITS
    )
    return msgspec.structs.replace(unit, key=f"{unit.key}#inline", limits=limits)


def _value(outcome: Outcome) -> dict[str, Any]:
    if outcome.kind != "value":
        raise CallsFailed(_why(outcome))
    found: dict[str, Any] = msgspec.json.decode(outcome.body)
    return found


def _why(outcome: Outcome) -> str:
    if outcome.kind in ("failure", "stopped"):
        return _told(msgspec.json.decode(outcome.body))
    return {"suspension": "it waits for something outside", "skipped": "its when= skipped it"}.get(
        outcome.kind, outcome.kind
    )


def _told(record: dict[str, Any]) -> str:
    kind, message = str(record.get("type") or "failure"), str(record.get("message", ""))
    return f"{kind}: {message}" if message else kind
