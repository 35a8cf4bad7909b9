"""From what a worker found in a package to workflows: pure, with every mistake named at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from laneway._core.errors import PackageContentInvalid, PackageImportFailed
from laneway._core.model import TaskSpec, WorkflowSpec
from laneway.packages.manifest import LaneWishes, Manifest, WorkflowTable
from laneway.packages.package import Package
from laneway.packages.shapes import as_table

__all__ = ["chosen_workflow", "workflows_of"]

_ADVICE = {
    "missing_import": "Add the distribution to [dependencies] in laneway.toml and run `laneway package vendor`",
    "ModuleNotFoundError": "Add the distribution to [dependencies] in laneway.toml and run `laneway package vendor`",
    "MemoryError": "Load less while it is imported, or raise [limits] memory_mib",
    "timeout": "Move slow work out of the module's top level, or raise [limits] import_seconds",
    "lost_lane": "The module ended its worker while it was imported: move such code into a task",
    "policy_violation": "Allow it in [policy], or do not do it while the module is imported",
}


def workflows_of(package: Package, answer: Mapping[str, Any]) -> list[WorkflowSpec]:
    """The workflows of a package, from what discovery in a worker answered.

    The tables `[workflows.NAME]` come first. Without any, the `Workflow` objects found in the entry module; without
    those, one workflow with the package's name and all its tasks. `[lanes]` is applied to the tasks.

    Args:
        package: the package that was discovered.
        answer: `tasks` (as by `TaskSpec.described`), `workflows` (each with `name`, `tasks` and maybe `merge` and
            `doc`; a task is an id or a description), `error` (None, a text or a failure record).

    Raises:
        PackageImportFailed: the entry module could not be imported; with the worker's traceback.
        PackageContentInvalid: no task, duplicate ids, tables or workflows that name tasks which are not there.
    """
    error = answer.get("error")
    if error:
        raise _import_failed(package, error)
    manifest = package.manifest
    tasks = [TaskSpec.from_described(dict(one)) for one in answer.get("tasks") or ()]
    found = [*(answer.get("workflows") or ())]
    for one in found:
        tasks += [TaskSpec.from_described(dict(task)) for task in one["tasks"] if not isinstance(task, str)]
    tasks = _without_repeats(tasks)
    problems = [*_task_problems(manifest, tasks, found)]
    if problems:
        raise PackageContentInvalid(package=package.label, problems=problems)

    def placed_one(task: TaskSpec) -> TaskSpec:
        return _placed(task, manifest.lanes)

    placed = {task.id: placed_one(task.with_tasks(placed_one)) for task in tasks}
    if manifest.workflows:
        return [_from_table(table, placed) for table in manifest.workflows]
    if found:
        return [_from_code(one, placed) for one in found]
    return [WorkflowSpec(name=manifest.name, tasks=tuple(placed.values()), doc=manifest.description)]


def chosen_workflow(
    package: Package, workflows: Sequence[WorkflowSpec], name: str | None = None
) -> WorkflowSpec:
    """The workflow called `name`, or the only one.

    Raises:
        PackageContentInvalid: there is none of that name, or several and none was named.
    """
    names = [workflow.name for workflow in workflows]
    if name is None:
        if len(workflows) == 1:
            return workflows[0]
        listed = ", ".join(f"{package.root.name}#{one}" for one in names)
        raise PackageContentInvalid(
            package=package.label, problems=[f"it has {len(names)} workflows: name one of {listed}"]
        )
    for workflow in workflows:
        if workflow.name == name:
            return workflow
    raise PackageContentInvalid(
        package=package.label, problems=[f"it has no workflow {name!r}: {_nearest(name, names)}"]
    )


def _without_repeats(tasks: list[TaskSpec]) -> list[TaskSpec]:
    """One of each where the same function was listed twice (as a task and in a workflow)."""
    return [*{(task.id, task.reference): task for task in tasks}.values()]


def _task_problems(
    manifest: Manifest, tasks: list[TaskSpec], found: list[Mapping[str, Any]]
) -> Iterator[str]:
    if not tasks:
        yield (
            f"the module {manifest.entry_module!r} registers no task: decorate a function with @task, and import the "
            "modules that hold tasks there"
        )
        return
    for task_id, times in Counter(task.id for task in tasks).items():
        if times > 1:
            where = " and ".join(_place(task) for task in tasks if task.id == task_id)
            yield f"the id {task_id!r} is used by {times} tasks ({where}): give one another id, @task(id=...)"
    ids = [*dict.fromkeys(task.id for task in tasks)]
    named = [(f"workflows.{table.name}", task_id) for table in manifest.workflows for task_id in table.tasks]
    named += [("lanes.tasks", task_id) for task_id, _ in manifest.lanes.tasks]
    named += [("limits.tasks", task_id) for task_id in _limited(manifest)]
    for table_name, task_id in named:
        if task_id not in ids:
            yield f"[{table_name}] names the task {task_id!r}, which is not there: {_nearest(task_id, ids)}"
    yield from _workflow_problems(manifest, ids, found)


def _workflow_problems(manifest: Manifest, ids: list[str], found: list[Mapping[str, Any]]) -> Iterator[str]:
    names = (
        [table.name for table in manifest.workflows] or [str(one["name"]) for one in found] or [manifest.name]
    )
    for name, times in Counter(names).items():
        if times > 1:
            yield f"the workflow name {name!r} is used {times} times: give each workflow its own"
    if not manifest.workflows:
        for one in found:
            for task in one["tasks"]:
                if isinstance(task, str) and task not in ids:
                    yield f"workflow {one['name']!r} names the task {task!r}, which is not there: {_nearest(task, ids)}"
    starts = [("schedule", one.name, one.workflow) for one in manifest.schedules]
    starts += [("trigger", one.name, one.workflow) for one in manifest.triggers]
    for table, name, workflow in starts:
        if workflow not in names:
            near = _nearest(workflow, names)
            yield f"[{table}.{name}] names the workflow {workflow!r}, which is not there: {near}"


def _limited(manifest: Manifest) -> list[str]:
    keys = [key for key, _ in manifest.limits if key.startswith("tasks.")]
    return [*dict.fromkeys(key.removeprefix("tasks.").rpartition(".")[0] for key in keys)]


def _placed(task: TaskSpec, wishes: LaneWishes) -> TaskSpec:
    """The task with what `[lanes]` says about it."""
    lane = dict(wishes.tasks).get(task.id) or (wishes.default if task.lane == "auto" else task.lane)
    fallback = task.fallback if wishes.fallback is None else wishes.fallback
    return task._replace(lane=lane, fallback=fallback)


def _from_table(table: WorkflowTable, tasks: Mapping[str, TaskSpec]) -> WorkflowSpec:
    chosen = tuple(tasks[task_id] for task_id in table.tasks)
    return WorkflowSpec(name=table.name, tasks=chosen, merge=table.merge, doc=table.description)


def _from_code(found: Mapping[str, Any], tasks: Mapping[str, TaskSpec]) -> WorkflowSpec:
    chosen = tuple(tasks[one if isinstance(one, str) else one["id"]] for one in found["tasks"])
    merge: Any = found.get("merge") or ()
    pairs: list[tuple[object, object]] = [*dict(merge).items()]
    return WorkflowSpec(
        name=str(found["name"]),
        tasks=chosen,
        merge=tuple(sorted((str(key), str(rule)) for key, rule in pairs)),
        doc=str(found.get("doc") or ""),
    )


def _import_failed(package: Package, error: object) -> PackageImportFailed:
    record = as_table(error) or {"message": str(error)}
    type_name = str(record.get("type") or "")
    kind = str(record.get("kind") or "")
    message = str(record.get("message") or "")
    advice = _ADVICE.get(kind) or _ADVICE.get(type_name.rpartition(".")[2]) or "The traceback shows where"
    return PackageImportFailed(
        package=package.label,
        entry=package.manifest.entry_module,
        reason=": ".join(part for part in (type_name, message) if part) or "it gave no message",
        advice=advice,
        traceback=_own_lines(str(record.get("traceback") or "")),
    )


def _own_lines(traceback: str) -> str:
    """A traceback without the frames of importing itself."""
    kept: list[str] = []
    is_importing = False
    for line in traceback.rstrip().splitlines():
        if line.startswith('  File "'):
            is_importing = line.startswith('  File "<frozen importlib') or "/importlib/__init__.py" in line
        elif not line.startswith("    "):
            is_importing = False
        if not is_importing:
            kept.append(line)
    return "\n".join(kept)


def _place(task: TaskSpec) -> str:
    return f"{task.reference} line {task.line}" if task.line else task.reference


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(names)[:20])}"
