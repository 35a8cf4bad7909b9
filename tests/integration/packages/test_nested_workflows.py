"""Workflows as tasks inside packages and files: inner runs of their own, on isolated lanes, linked to the outer one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from laneway import Engine, RunFailed
from laneway._core.model import Nested, TaskSpec, WorkflowSpec

CODE = """
import os
from laneway import Workflow, subworkflow, task, wait_for_signal
from nestor_parts import inner

@task
def texts(n: int) -> list[str]:
    return ["a bb", "ccc d", "e"][:n]

@task(lane="process")
def joined(each: list[str]) -> str:
    return "-".join(each)

@task(lane="interpreter")
def bad() -> None:
    raise LookupError("no such thing")

@task(lane="interpreter")
def approval():
    return wait_for_signal("ok")

@task(lane="interpreter")
def where() -> int:
    return os.getpid()

each = subworkflow(inner, id="each", inputs={"text": "item"}, output="longest", each="texts")
outer = Workflow("outer", [texts, each, joined])
failing = Workflow("failing", [subworkflow(Workflow("deep", [subworkflow(Workflow("deeper", [bad]))]))])
asking = Workflow("asking", [subworkflow(Workflow("ask", [approval]), output="approval")])
elsewhere = Workflow("elsewhere", [subworkflow(Workflow("there", [where]), output="where")])
"""
PARTS = """
from laneway import Workflow, task

@task(lane="interpreter")
def words(text: str) -> list[str]:
    return text.split()

@task(lane="process")
def longest(words: list[str]) -> str:
    return max(words, key=len)

inner = Workflow("longest-word", [words, longest])
"""
MANIFEST = '[package]\nname = "nestor"\nversion = "1.0"\nentry_module = "nestor"\n'


@pytest.fixture
def package(tmp_path: Path) -> str:
    root = tmp_path / "nestor"
    (root / "src").mkdir(parents=True)
    (root / "laneway.toml").write_text(MANIFEST, "utf-8")
    (root / "src" / "nestor.py").write_text(CODE, "utf-8")
    (root / "src" / "nestor_parts.py").write_text(PARTS, "utf-8")
    return str(root)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db", workers=1) as opened:
        yield opened


async def test_a_packages_inner_workflow_runs_per_item_on_isolated_lanes_as_linked_runs(
    engine: Engine, package: str
) -> None:
    result = await engine.run(f"{package}#outer", {"n": 3})
    assert result.context == {
        "n": 3,
        "texts": ["a bb", "ccc d", "e"],
        "each": ["bb", "ccc", "e"],
        "joined": "bb-ccc-e",
    }
    inner = await engine.find(workflow="longest-word")
    assert [(one["parent"], one["parent_task"]) for one in inner] == [(result.id, "each")] * 3
    assert {one["reference"] for one in inner} == {f"{package}#longest-word"}
    lanes = {(one.task, one.lane) for one in (await engine.result(inner[0]["id"])).steps}
    assert lanes == {("words", "interpreter"), ("longest", "process")}


async def test_a_failure_two_workflows_deep_comes_with_its_place_and_traceback(
    engine: Engine, package: str
) -> None:
    with pytest.raises(RunFailed, match=r"of 'deep' failed at task 'deeper'.*no such thing") as caught:
        await engine.run(f"{package}#failing")
    error = caught.value.result.error
    assert error["type"] == "LookupError"
    assert 'raise LookupError("no such thing")' in error["traceback"]
    assert {one["status"] for one in await engine.find()} == {"failed"}
    assert len(await engine.find()) == 3


async def test_a_packages_inner_run_that_waits_lets_the_outer_one_wait(engine: Engine, package: str) -> None:
    target = f"{package}#asking"
    handle = await engine.start(target)
    assert (await handle.result()).status == "suspended"
    (inner,) = await engine.find(workflow="ask")
    assert inner["status"] == "suspended"
    await engine.signal(inner["id"], "ok", 5)
    result = await (await engine.resume(handle.id, target)).result()
    assert result.context == {"ask": 5}


async def test_a_limit_of_one_task_per_package_does_not_lock_the_inner_run_out(
    tmp_path: Path, package: str
) -> None:
    async with Engine(f"sqlite:///{tmp_path}/limited.db", limits={"package:nestor": 1}) as engine:
        assert (await engine.run(f"{package}#outer", {"n": 3})).context["joined"] == "bb-ccc-e"


async def test_a_files_inner_workflow_runs_on_isolated_lanes(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    (tmp_path / "nestor_parts.py").write_text(PARTS, "utf-8")
    file.write_text(CODE, "utf-8")
    assert (await engine.run(f"{file}:outer", {"n": 2})).context["joined"] == "bb-ccc"
    assert {one["reference"] for one in await engine.find(workflow="longest-word")} == {
        f"{file}:longest-word"
    }
    with pytest.raises(RunFailed, match="no such thing"):
        await engine.run(f"{file}:failing")


async def test_an_inner_run_is_gone_on_with_after_its_engine_closed(tmp_path: Path, package: str) -> None:
    store = f"sqlite:///{tmp_path}/again.db"
    async with Engine(store) as engine:
        handle = await engine.start(f"{package}#asking")
        await handle.result()
        (inner,) = await engine.find(workflow="ask")
    async with Engine(store) as engine:
        await engine.signal(inner["id"], "ok", "yes")
        result = await (await engine.resume(handle.id)).result()
        assert result.context == {"ask": "yes"}
        assert len(await engine.find(workflow="ask")) == 1


def test_a_described_task_with_an_inner_workflow_comes_back_as_it_was() -> None:
    leaf = TaskSpec("leaf", "m:leaf", parameters=("x",), fingerprint="f")
    middle = TaskSpec(
        "mid", "m:mid", lane="workflow", nested=Nested(WorkflowSpec("low", (leaf,), (("x", "sum"),)))
    )
    inputs = (("b", "y"), ("a", "x"))
    top = TaskSpec(
        "top", "m:top", lane="workflow", nested=Nested(WorkflowSpec("in", (middle,)), inputs, "leaf")
    )
    assert TaskSpec.from_described(top.described()) == top
    renamed = top.with_tasks(lambda one: one._replace(doc=one.id.upper()))
    assert renamed.nested is not None
    (found,) = renamed.nested.workflow.tasks
    assert found.nested is not None
    assert (found.doc, found.nested.workflow.tasks[0].doc) == ("MID", "LEAF")
