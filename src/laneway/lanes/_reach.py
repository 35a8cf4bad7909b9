"""What lanes cannot do for a task: find it again by name, enforce a limit of its package."""

from typing import Any

from laneway._core.failures import failure_record
from laneway._core.model import TaskSpec
from laneway.lanes._codec import failure_body
from laneway.lanes._flight import Flight
from laneway.ports import Outcome, StepOrder, Unit

__all__ = ["limit_of", "limited", "needs_process", "unenforceable", "unreachable"]

_PROCESS_LIMITS = ("cpu_seconds", "memory_mib", "open_files", "child_processes")


def unreachable(unit: Unit, task: TaskSpec) -> str | None:
    """Why a worker outside this interpreter cannot find the task's function, or None."""
    module, _, qualname = task.reference.partition(":")
    if "<lambda>" in qualname:
        return "it is a lambda, which a worker cannot import: write a def at the top level of a module"
    if "<locals>" in qualname:
        return "it is defined inside another function, which a worker cannot import: move it to a module's top level"
    if module == "__main__" and unit.kind != "script":
        return "it was typed at a prompt or in a notebook, which a worker cannot import: put it into a file"
    if task.file.startswith("<"):
        return f"its source is {task.file}, which a worker cannot import: put it into a file"
    return None


def limit_of(limits: dict[str, Any], task: str, key: str) -> Any:
    """A limit for one task: its own, else its package's, else None."""
    return limits.get(f"tasks.{task}.{key}", limits.get(key))


def needs_process(unit: Unit) -> bool:
    """Whether the package as a whole has limits that only a process enforces; they hold for its import too."""
    limits = dict(unit.limits)
    return any(key in limits for key in _PROCESS_LIMITS)


def unenforceable(unit: Unit, task: TaskSpec, lane: str) -> str | None:
    """Which limit of the package the lane cannot enforce, or None. The process lane enforces all of them."""
    if not unit.limits or lane == "process":
        return None
    limits = dict(unit.limits)
    for key in _PROCESS_LIMITS:
        if limit_of(limits, task.id, key) is not None:
            return f"only the process lane enforces {key} under [limits]"
    if limit_of(limits, task.id, "stop") == "kill" and lane in ("loop", "thread"):
        return "its package must be stoppable in all cases, which this lane cannot promise"
    return None


def limited(limits: dict[str, Any], flight: Flight, order: StepOrder) -> Outcome | None:
    """Apply a package's limits to one order: its wall time; an outcome where its context is too large already."""
    task = order.task.id
    wall = limit_of(limits, task, "wall_seconds")
    if wall is not None:
        flight.limit = wall if flight.limit is None else min(wall, flight.limit)
    most = limit_of(limits, task, "context_kib")
    if most is None or len(order.payload) <= most * 1024:
        return None
    message = (
        f"task {task!r} would get a context of {len(order.payload):,} bytes; "
        f"[limits] context_kib allows {int(most * 1024):,}"
    )
    return Outcome(
        "failure", failure_body(failure_record("other", "LimitExceeded", message)), lane=flight.lane
    )
