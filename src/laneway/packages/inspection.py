"""Everything that can be told of a package, as one plain record for people and machines."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from laneway._core.errors import WorkflowInvalid
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway._core.plan import plan_of
from laneway.packages.package import Package
from laneway.packages.vendoring import missing_from, vendored_in

__all__ = ["LaneWish", "inspection_of"]


class LaneWish(NamedTuple):
    """The lane of a task and why; `refused` says why no lane can run it, or is empty."""

    lane: str
    reason: str
    refused: str = ""


def inspection_of(
    package: Package,
    workflows: Sequence[WorkflowSpec] | None = None,
    *,
    lane_of: Callable[[TaskSpec], LaneWish] | None = None,
    interpreter_refusal: str = "",
    problem: str = "",
) -> dict[str, Any]:
    """The record that `laneway package inspect --json` prints.

    Args:
        package: what was opened.
        workflows: what discovery found; None when the package's code was not run.
        lane_of: chooses a task's lane.
        interpreter_refusal: why the package cannot load in an interpreter, or empty.
        problem: why discovery failed, or empty.
    """
    manifest = package.manifest
    vendored = vendored_in(package.root)
    tasks: dict[str, TaskSpec] = {}
    for workflow in workflows or ():
        tasks |= {task.id: task for task in workflow.tasks}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "path": str(package.archive or package.root),
        "form": "archive" if package.archive else "folder",
        "content_hash": package.content_hash,
        "entry_module": manifest.entry_module,
        "requires_python": manifest.requires_python,
        "signature": package.signature._asdict(),
        "sizes": _sizes(package),
        "policy": {key: _plain(value) for key, value in manifest.policy},
        "limits": {key: _plain(value) for key, value in manifest.limits},
        "lanes": msgspec.to_builtins(manifest.lanes),
        "schedules": msgspec.to_builtins(manifest.schedules),
        "triggers": msgspec.to_builtins(manifest.triggers),
        "dependencies": {
            "declared": dict(manifest.dependencies),
            "vendored": msgspec.to_builtins(vendored),
            "missing": missing_from(package.root, manifest),
        },
        "interpreter_refusal": interpreter_refusal,
        "problem": problem,
        "workflows": None if workflows is None else [_workflow(one) for one in workflows],
        "tasks": None if workflows is None else [_task(one, lane_of) for one in tasks.values()],
    }


def _sizes(package: Package) -> dict[str, Any]:
    def of(top: str) -> int:
        return sum(one.size_bytes for one in package.files if one.path.startswith(top))

    return {
        "files": len(package.files),
        "total_bytes": of(""),
        "src_bytes": of("src/"),
        "vendor_bytes": of("vendor/"),
        "archive_bytes": package.archive.stat().st_size if package.archive else None,
    }


def _workflow(workflow: WorkflowSpec) -> dict[str, Any]:
    problems: list[str] = []
    needs: dict[str, list[str]] = {}
    try:
        plan = plan_of(workflow)
        needs = {
            name: [plan.names[one] for one in plan.needs[index]] for index, name in enumerate(plan.names)
        }
    except WorkflowInvalid as error:
        problems = error.problems
    return {
        "name": workflow.name,
        "description": workflow.doc,
        "tasks": [*needs] or [task.id for task in workflow.tasks],
        "needs": needs,
        "merge": dict(workflow.merge),
        "problems": problems,
    }


def _task(task: TaskSpec, lane_of: Callable[[TaskSpec], LaneWish] | None) -> dict[str, Any]:
    wish = lane_of(task) if lane_of else LaneWish(task.lane, "")
    return {
        "id": task.id,
        "reference": task.reference,
        "is_async": task.is_async,
        "parameters": [*task.parameters],
        "wanted_lane": task.lane,
        "lane": wish.lane,
        "reason": wish.reason,
        "refused": wish.refused,
        "retries": task.retries,
        "timeout_seconds": task.timeout,
        "each": task.each,
        "doc": task.doc,
        "line": task.line,
        "fingerprint": task.fingerprint,
    }


def _plain(value: Any) -> object:
    return [*value] if value.__class__ is tuple else value
