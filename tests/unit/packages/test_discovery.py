"""From a worker's answer to workflows, with all mistakes named."""

from typing import Any

import pytest
from package_folders import MANIFEST, MakeFolder

from laneway._core.errors import PackageContentInvalid, PackageImportFailed
from laneway._core.model import TaskSpec
from laneway.packages import Package, chosen_workflow, open_package, workflows_of


def _task(name: str, **more: Any) -> dict[str, Any]:
    return TaskSpec(id=name, reference=f"shop_tasks:{name}", line=7, **more).described()


def _open(folder: MakeFolder, tables: str = "") -> Package:
    return open_package(folder(manifest=MANIFEST + tables))


def _problems(package: Package, **answer: Any) -> list[str]:
    with pytest.raises(PackageContentInvalid) as caught:
        workflows_of(package, {"tasks": [], "workflows": [], "error": None} | answer)
    return caught.value.problems


def test_all_tasks_make_one_workflow_when_nothing_says_otherwise(folder: MakeFolder) -> None:
    found = workflows_of(_open(folder), {"tasks": [_task("a"), _task("b")]})
    assert [(one.name, [task.id for task in one.tasks]) for one in found] == [("shop", ["a", "b"])]


def test_workflow_objects_in_the_code_come_before_that(folder: MakeFolder) -> None:
    answer = {
        "tasks": [_task("a"), _task("b")],
        "workflows": [{"name": "nightly", "tasks": ["b"], "merge": {"k": "sum"}, "doc": "Every night."}],
    }
    found = workflows_of(_open(folder), answer)
    assert [(one.name, one.merge, one.doc) for one in found] == [("nightly", (("k", "sum"),), "Every night.")]


def test_tables_come_before_the_code(folder: MakeFolder) -> None:
    package = _open(folder, '[workflows.one]\ntasks = ["b", "a"]\n')
    answer = {"tasks": [_task("a"), _task("b")], "workflows": [{"name": "nightly", "tasks": ["b"]}]}
    found = workflows_of(package, answer)
    assert [(one.name, [task.id for task in one.tasks]) for one in found] == [("one", ["b", "a"])]


def test_lanes_of_the_manifest_are_applied(folder: MakeFolder) -> None:
    tables = '[lanes]\ndefault = "process"\nfallback = true\ntasks.b = "thread"\n'
    answer = {"tasks": [_task("a"), _task("b", lane="loop"), _task("c", lane="loop")]}
    (found,) = workflows_of(_open(folder, tables), answer)
    assert [(task.lane, task.fallback) for task in found.tasks] == [
        ("process", True),
        ("thread", True),
        ("loop", True),
    ]


def test_import_error_carries_the_traceback_and_the_next_step(folder: MakeFolder) -> None:
    error = {
        "kind": "missing_import",
        "type": "ModuleNotFoundError",
        "message": "no atrs",
        "traceback": "TB\nTB",
    }
    with pytest.raises(PackageImportFailed) as caught:
        workflows_of(_open(folder), {"error": error})
    assert caught.value.traceback == "TB\nTB"
    assert "laneway package vendor" in str(caught.value)


def test_package_without_tasks_says_so(folder: MakeFolder) -> None:
    assert "registers no task" in _problems(_open(folder))[0]


def test_duplicate_and_unknown_ids_are_told_at_once(folder: MakeFolder) -> None:
    tables = """
[workflows.one]
tasks = ["alpha", "bta"]
[lanes.tasks]
gama = "thread"
[limits.tasks.zz]
wall_seconds = 1
[schedule.s]
workflow = "one"
cron = "* * * * *"
"""
    twice = [_task("alpha"), _task("beta"), _task("beta") | {"reference": "other:beta"}]
    assert _problems(_open(folder, tables), tasks=twice) == [
        "the id 'beta' is used by 2 tasks (shop_tasks:beta line 7 and other:beta line 7): "
        "give one another id, @task(id=...)",
        "[workflows.one] names the task 'bta', which is not there: did you mean 'beta'?",
        "[lanes.tasks] names the task 'gama', which is not there: there are alpha, beta",
        "[limits.tasks] names the task 'zz', which is not there: there are alpha, beta",
    ]


def test_schedule_of_an_unknown_workflow_is_named(folder: MakeFolder) -> None:
    tables = '[schedule.s]\nworkflow = "nigtly"\ncron = "* * * * *"\n'
    answer = {"tasks": [_task("a")], "workflows": [{"name": "nightly", "tasks": ["a"]}]}
    assert _problems(_open(folder, tables), **answer) == [
        "[schedule.s] names the workflow 'nigtly', which is not there: did you mean 'nightly'?"
    ]


def test_one_of_several_workflows_must_be_named(folder: MakeFolder) -> None:
    package = _open(folder, '[workflows.one]\ntasks = ["a"]\n[workflows.two]\ntasks = ["a"]\n')
    found = workflows_of(package, {"tasks": [_task("a")]})
    assert chosen_workflow(package, found, "two").name == "two"
    with pytest.raises(PackageContentInvalid, match="shop#one, shop#two"):
        chosen_workflow(package, found)
    with pytest.raises(PackageContentInvalid, match="did you mean 'two'"):
        chosen_workflow(package, found, "tow")
