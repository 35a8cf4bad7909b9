"""From a workflow to a plan: everything that can be known before a run, checked all at once."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from hashlib import sha256
from typing import NamedTuple

import msgspec

from laneway._core.context import MERGES
from laneway._core.errors import WorkflowInvalid
from laneway._core.graph import ancestors, find_cycle, successors, topological
from laneway._core.model import LANES, TaskSpec, WorkflowSpec

__all__ = ["Binding", "Plan", "check_context", "plan_of", "sees_all", "unprovided"]


class Binding(NamedTuple):
    """Where one parameter (or the list of a mapped task) comes from."""

    key: str
    setters: tuple[int, ...]
    """Ancestors that may set the key, in topological order."""
    optional: bool


class Plan(NamedTuple):
    """A workflow ready to run. Task indices are topological: a task comes after all it depends on."""

    workflow: WorkflowSpec
    version: str
    """SHA-256 over everything that decides what a run does, 16 hexadecimal digits."""
    tasks: tuple[TaskSpec, ...]
    names: tuple[str, ...]
    position: dict[str, int]
    """Task id to task index."""
    needs: tuple[tuple[int, ...], ...]
    feeds: tuple[tuple[int, ...], ...]
    ancestors: tuple[int, ...]
    """Per task a bit mask of all tasks it depends on."""
    before: tuple[tuple[int, ...], ...]
    """The same as indices, for tasks that see the whole context (others: empty)."""
    bindings: tuple[tuple[Binding, ...], ...]
    source: tuple[Binding | None, ...]
    """Where a mapped task's list comes from."""
    merges: dict[str, str]


def plan_of(
    workflow: WorkflowSpec, context: Collection[str] | None = None, *, lanes: Collection[str] = ()
) -> Plan:
    """Check a workflow and order its tasks.

    Args:
        workflow: what to plan.
        context: the keys of the run's initial context; None checks only what does not depend on it.
        lanes: names of lanes beyond the built-in ones.

    Raises:
        WorkflowInvalid: names every mistake at once, with the nearest valid name.
    """
    problems = [*_duplicates(workflow), *_merge_problems(workflow), *_lane_problems(workflow, lanes)]
    position = {spec.id: index for index, spec in reversed(list(enumerate(workflow.tasks)))}
    needs: list[list[int]] = []
    for spec in workflow.tasks:
        mine: dict[int, None] = {}
        for name in spec.dependencies:
            if name in position:
                mine[position[name]] = None
            else:
                problems.append(
                    f"task {spec.id!r} depends on {name!r}, which is no task here{_near(name, position)}"
                )
        for name in _wanted(spec):
            if name in position and name != spec.id:
                mine[position[name]] = None
        needs.append(list(mine))
    order = topological(needs)
    if order is None:
        loop = " -> ".join(workflow.tasks[index].id for index in find_cycle(needs))
        problems.append(f"the tasks wait for each other in a circle: {loop}")
    if problems or order is None:
        raise WorkflowInvalid(workflow=workflow.name, problems=problems)
    plan = _ordered(workflow, order, needs)
    if context is not None:
        check_context(plan, context)
    return plan


def check_context(plan: Plan, context: Collection[str]) -> None:
    """Check that everything a task asks for is provided by an ancestor, the initial context or a default.

    Raises:
        WorkflowInvalid: names every parameter that nothing provides.
    """
    problems: list[str] = []
    if not any(plan.bindings) and not any(plan.source):  # nothing is asked for by name
        return
    for index, spec in enumerate(plan.tasks):
        wanted = [*plan.bindings[index], *([source] if (source := plan.source[index]) else [])]
        for binding in wanted:
            if binding.setters or binding.optional or binding.key in context:
                continue
            problems.append(_without(spec, binding.key, context, plan.names))
    if problems:
        raise WorkflowInvalid(workflow=plan.workflow.name, problems=problems)


def unprovided(workflow: WorkflowSpec, context: Collection[str]) -> list[str]:
    """What nothing can provide in a workflow that has other mistakes too, so that all of them are told at once.

    Where the graph is broken nobody knows which task comes before which: a task that may set any key counts for all.
    """
    names = tuple(spec.id for spec in workflow.tasks)
    free = [spec for spec in workflow.tasks if spec.style == "context" and spec.each is None]
    return [
        _without(spec, key, context, names)
        for spec in workflow.tasks
        for key in dict.fromkeys(_wanted(spec))
        if key not in context
        and (key not in names or key == spec.id)
        and key not in spec.optional
        and not any(one is not spec for one in free)
    ]


def _without(spec: TaskSpec, key: str, context: Collection[str], names: Collection[str]) -> str:
    known = [*context, *(name for name in names if name != spec.id)]
    what = "is mapped over" if key == spec.each else "needs"
    return f"task {spec.id!r} {what} {key!r}, which no task and no context key provides{_near(key, known)}"


def sees_all(spec: TaskSpec) -> bool:
    """Whether attempts of the task get the whole context instead of single values."""
    return spec.style == "context" or spec.asks == ("context",)


def _wanted(spec: TaskSpec) -> Iterator[str]:
    """Names that a task takes from others: its parameters but the item's, an inner run's inputs, and its list."""
    if spec.style == "value":
        yield from (name for name in spec.parameters if name != spec.item)
    if spec.nested is not None and spec.nested.inputs is not None:
        yield from (key for _, key in spec.nested.inputs)
    if spec.each is not None:
        yield spec.each
    if spec.asks != ("context",):
        yield from (name for name in spec.asks if name != spec.item)


def _ordered(workflow: WorkflowSpec, order: list[int], declared: list[list[int]]) -> Plan:
    rank = {old: new for new, old in enumerate(order)}
    tasks = tuple(workflow.tasks[old] for old in order)
    needs = tuple(tuple(sorted(rank[one] for one in declared[old])) for old in order)
    masks = ancestors(needs)
    index = {spec.id: number for number, spec in enumerate(tasks)}
    free = [number for number, spec in enumerate(tasks) if spec.style == "context" and spec.each is None]

    def binding(number: int, key: str, *, optional: bool) -> Binding:
        mask = masks[number]
        setters = [one for one in free if mask >> one & 1]
        named = index.get(key)
        if named is not None and named not in setters and mask >> named & 1:
            setters = sorted([*setters, named])
        return Binding(key, tuple(setters), optional)

    bindings: list[tuple[Binding, ...]] = []
    before: list[tuple[int, ...]] = []
    for number, spec in enumerate(tasks):
        if sees_all(spec):
            bindings.append(())
            before.append(tuple(one for one in range(number) if masks[number] >> one & 1))
            continue
        before.append(())
        own = [name for name in spec.parameters if name != spec.item]
        asked = [name for name in spec.asks if name not in own and name != spec.item]
        bindings.append(
            tuple(binding(number, name, optional=name in spec.optional) for name in [*own, *asked])
        )
    source = tuple(
        None if spec.each is None else binding(number, spec.each, optional=False)
        for number, spec in enumerate(tasks)
    )
    return Plan(
        workflow=workflow,
        version=_version(workflow, tasks, needs),
        tasks=tasks,
        names=tuple(spec.id for spec in tasks),
        position=index,
        needs=needs,
        feeds=tuple(tuple(one) for one in successors(needs)),
        ancestors=tuple(masks),
        before=tuple(before),
        bindings=tuple(bindings),
        source=source,
        merges=dict(workflow.merge),
    )


def _version(workflow: WorkflowSpec, tasks: tuple[TaskSpec, ...], needs: tuple[tuple[int, ...], ...]) -> str:
    facts = [
        [spec.id, spec.style, spec.parameters, spec.each, spec.when, spec.fingerprint, list(before)]
        for spec, before in zip(tasks, needs, strict=True)
    ]
    return sha256(msgspec.json.encode([workflow.name, workflow.merge, facts])).hexdigest()[:16]


def _duplicates(workflow: WorkflowSpec) -> Iterator[str]:
    seen: dict[str, TaskSpec] = {}
    if not workflow.tasks:
        yield "it has no tasks"
    for spec in workflow.tasks:
        first = seen.setdefault(spec.id, spec)
        if first is not spec:
            yield f"two tasks have the id {spec.id!r}: {first.reference} and {spec.reference}; give one @task(id=...)"


def _merge_problems(workflow: WorkflowSpec) -> Iterator[str]:
    for key, rule in workflow.merge:
        if rule not in MERGES:
            yield f"merge rule {rule!r} for key {key!r} does not exist{_near(rule, MERGES)}"


def _lane_problems(workflow: WorkflowSpec, lanes: Collection[str]) -> Iterator[str]:
    known = [*LANES, *lanes]
    for spec in workflow.tasks:
        if spec.lane not in known:
            yield f"task {spec.id!r} wants the lane {spec.lane!r}, which does not exist{_near(spec.lane, known)}"


def _near(name: str, known: Collection[str] | Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    listed = ", ".join(sorted(known)[:8])
    return f"; there is: {listed}" if listed else ""
