"""What to call a workflow's tasks with: it runs once, as far as the context allows, and each input is kept."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from laneway._core.lane_times import NotMeasured
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway._core.plan import Plan, plan_of
from laneway.app import Engine
from laneway.engine.target import Target
from laneway.ports import LiveRun, Observer, Outcome, StepOrder

__all__ = ["Inputs", "collect"]

_MOST_INPUTS = 256
_MOST_BYTES = 64 * 2**20
_INNER = "workflow"


class Inputs(NamedTuple):
    """Orders as the engine made them, by task in the workflow's order, and the tasks that have none."""

    orders: dict[str, list[StepOrder]]
    missing: list[NotMeasured]


async def collect(
    target: Target, context: Mapping[str, Any], *, only: Collection[str] = (), say: Callable[[str], None]
) -> Inputs:
    """Run what the context has inputs for, once, on an engine that keeps nothing, and keep what its tasks were given.

    A context key that is named like a task stands for that task's result. Tasks after one that lacks inputs or
    fails have no inputs either; each is listed with the reason.

    Args:
        target: the workflow.
        context: its initial context.
        only: the tasks that are wanted; what they depend on runs too. All if empty.
        say: told what is going on.
    """
    plan = plan_of(target.workflow, lanes=[_INNER, *(one.lane for one in target.workflow.tasks)])
    wanted = set(only) or set(plan.names)
    lacking = _lacking(plan, context)
    needed = _with_dependencies(plan, wanted - lacking.keys(), context)
    missing = [lacking[name] for name in plan.names if name in lacking and name in wanted]
    if not needed:
        return Inputs({}, missing)
    say(f"running {target.workflow.name} once for its tasks' inputs")
    workflow = _part_of(plan, needed)
    seen = _Seen()
    async with Engine("memory://", grace=0) as engine:
        engine.observe(seen)
        await engine.run(Target(workflow, target.unit, target.reference), context, check=False)
    found: dict[str, list[StepOrder]] = {}
    for spec in plan.tasks:
        if spec.id not in wanted or spec.id in lacking:
            continue
        reason = seen.problem(spec)
        if reason is None:
            # As the task was written: the run that gave its input had some options taken away.
            found[spec.id] = [_as_written(one, spec) for one in seen.orders[spec.id]]
        else:
            missing.append(reason)
    return Inputs(found, missing)


class _Seen(Observer):
    """Keeps the orders of a run, as many as fit, and what became of each task."""

    def __init__(self) -> None:
        self.orders: dict[str, deque[StepOrder]] = {}
        self.ends: dict[str, Outcome] = {}
        self._bytes = 0

    def attempt_started(self, run: LiveRun, order: StepOrder) -> StepOrder:
        kept = self.orders.setdefault(order.task.id, deque())
        if not kept or (len(kept) < _MOST_INPUTS and self._bytes + len(order.payload) <= _MOST_BYTES):
            kept.append(order)
            self._bytes += len(order.payload)
        return order

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        name = order.task.id
        if name not in self.ends or outcome.kind != "value":
            self.ends[name] = outcome
        return outcome

    def problem(self, spec: TaskSpec) -> NotMeasured | None:
        """Why a task cannot be measured, or None."""
        end = self.ends.get(spec.id)
        if spec.lane == _INNER:
            return NotMeasured(
                spec.id, "it runs another workflow", "Measure that workflow's tasks by themselves."
            )
        if end is None:
            return NotMeasured(
                spec.id,
                "it did not run: a task before it failed, was skipped or waits",
                "Give its input as context keys, named like its parameters.",
            )
        if end.kind in ("failure", "stopped"):
            record: dict[str, Any] = msgspec.json.decode(end.body)
            told = f"{record.get('type', '')}: {record.get('message', '')}"
            return NotMeasured(
                spec.id, f"it failed with what it was given: {told}", "Give a context it works with."
            )
        if end.kind == "suspension":
            return NotMeasured(spec.id, "it waits for something outside", "Only work that ends is measured.")
        if end.kind == "skipped":
            return NotMeasured(spec.id, "its when= skipped it", "Give a context for which it runs.")
        return None


def _lacking(plan: Plan, context: Mapping[str, Any]) -> dict[str, NotMeasured]:
    """Tasks that something is missing for, directly or further up."""
    found: dict[str, NotMeasured] = {}
    for index, spec in enumerate(plan.tasks):
        source = plan.source[index]
        bindings = [*plan.bindings[index], *([source] if source is not None else [])]
        keys = [one.key for one in bindings if not (one.key in context or one.optional or one.setters)]
        before = [plan.names[one] for one in plan.needs[index]]
        upstream = [one for one in before if one in found and one not in context]
        if keys:
            named = ", ".join(repr(one) for one in dict.fromkeys(keys))
            found[spec.id] = NotMeasured(
                spec.id,
                f"it needs {named}, which nothing gives",
                f"Give it: {' '.join(f'-c {one}=VALUE' for one in dict.fromkeys(keys))}, or --context @FILE.json.",
            )
        elif upstream:
            named = ", ".join(repr(one) for one in dict.fromkeys(upstream))
            found[spec.id] = NotMeasured(
                spec.id,
                f"it needs the result of {named}, which has no input itself",
                "Give that task's input, or its result: "
                f"{' '.join(f'-c {one}=VALUE' for one in dict.fromkeys(upstream))}.",
            )
    return found


def _with_dependencies(plan: Plan, wanted: Collection[str], context: Mapping[str, Any]) -> set[str]:
    """The tasks to run: those wanted, and what they depend on, unless the context holds its result."""
    found: set[str] = set()
    waiting = [name for name in plan.names if name in wanted]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        before = (plan.names[one] for one in plan.needs[plan.position[name]])
        waiting += [one for one in before if one not in context]
    return found


def _part_of(plan: Plan, needed: Collection[str]) -> WorkflowSpec:
    """The workflow with those tasks alone, each tried once."""
    tasks = tuple(
        spec._replace(
            dependencies=tuple(one for one in spec.dependencies if one in needed),
            lane=spec.lane if spec.lane == _INNER else "auto",
            retries=0,
            pool=None,
        )
        for spec in plan.tasks
        if spec.id in needed
    )
    return plan.workflow._replace(tasks=tasks)


def _as_written(order: StepOrder, spec: TaskSpec) -> StepOrder:
    return msgspec.structs.replace(order, task=spec, metadata={})
