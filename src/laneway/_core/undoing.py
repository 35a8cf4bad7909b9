"""What to forget for a retry, what to keep for a fork, and whether a run can go on with the code at hand."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from laneway._core.plan import Plan
from laneway._core.records import NO_ITEM, StepRow
from laneway._core.transitions import TERMINAL

__all__ = ["changed_tasks", "forgotten", "kept_for_fork"]

_KEPT = ("succeeded", "skipped")


def forgotten(plan: Plan, rows: Iterable[StepRow], *, only_failed: bool) -> list[tuple[str, int]]:
    """Which steps a retry forgets: all, or those that failed or were stopped and everything that comes after them.

    Items of a mapped task that succeeded are kept even if others failed.
    """
    steps = list(rows)
    if not only_failed:
        return [(row.task, row.item) for row in steps]
    again = {row.task for row in steps if row.status not in _KEPT}
    hit = {plan.position[name] for name in again if name in plan.position}
    after = {
        plan.names[index]
        for index, before in enumerate(plan.ancestors)
        if any(before >> one & 1 for one in hit)
    }
    return [
        (row.task, row.item)
        for row in steps
        if row.status not in _KEPT or row.task in after or (row.task in again and row.item == NO_ITEM)
    ]


def kept_for_fork(plan: Plan, rows: Iterable[StepRow], from_step: str) -> list[StepRow]:
    """The steps a fork starts with: what ended well and does not come after `from_step`.

    Raises:
        KeyError: the workflow has no such task.
    """
    start = plan.position[from_step]
    gone = {from_step} | {
        plan.names[index] for index, before in enumerate(plan.ancestors) if before >> start & 1
    }
    steps = [row for row in rows if row.task in plan.position and row.task not in gone]
    whole = {row.task for row in steps if row.item == NO_ITEM and row.status in _KEPT}
    return [row for row in steps if row.task in whole and row.status in TERMINAL]


def changed_tasks(plan: Plan, recorded: bytes, current: bytes, rows: Iterable[StepRow]) -> dict[str, str]:
    """Tasks that are not over and whose code is not what it was when the run started: name to what happened."""
    before: Mapping[str, str] = msgspec.json.decode(recorded, type=dict[str, str])
    now: Mapping[str, str] = msgspec.json.decode(current, type=dict[str, str])
    over: Collection[str] = {row.task for row in rows if row.item == NO_ITEM and row.status in TERMINAL}
    changed: dict[str, str] = {}
    for name, fingerprint in before.items():
        if name in over:
            continue
        if name not in plan.position:
            changed[name] = "is gone"
        elif fingerprint and now.get(name) and now[name] != fingerprint:
            changed[name] = "changed"
    if before:
        changed.update({name: "is new" for name in plan.names if name not in before})
    return changed
