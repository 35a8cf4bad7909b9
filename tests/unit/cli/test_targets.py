"""Finding what a user named."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laneway._core.errors import TargetNotFound
from laneway.ports import Unit
from laneway.targets import find_target

CODE = """
from laneway import Workflow, task
import neighbour

@task
def one() -> int:
    return neighbour.VALUE

class Shelf:
    flow = Workflow("on-the-shelf", [one, neighbour.two])

flow = Shelf.flow
"""
NEIGHBOUR = "from laneway import task\nVALUE = 1\n\n@task\ndef two() -> int:\n    return 2\n"


class NoFleet:
    """No target of these tests is a package."""

    def __init__(self) -> None:
        self.no_interpreters = ""
        self.environment: dict[str, str] = {}

    def learned(self, unit: Unit, refusal: str) -> None:
        raise AssertionError(unit)

    async def discover(self, unit: Unit, timeout: float | None = None) -> dict[str, Any]:
        raise AssertionError(unit)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somewhere.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR, encoding="utf-8")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("somewhere", "neighbour") or name.startswith("_laneway_file_"):
            del sys.modules[name]


async def test_a_file_is_loaded_privately_and_its_tasks_are_reachable_by_workers(place: Path) -> None:
    found = await find_target("somewhere.py:flow", NoFleet())
    assert found.workflow.name == "on-the-shelf"
    assert found.unit is not None
    assert (found.unit.kind, found.unit.entry) == ("script", str(place / "somewhere.py"))
    assert str(place) in found.unit.inherited
    assert [one.reference for one in found.workflow.tasks] == ["__main__:one", "neighbour:two"]
    assert all(one.fingerprint and one.function for one in found.workflow.tasks)
    assert "somewhere" not in sys.modules
    assert found.reference == f"{place / 'somewhere.py'}:flow"


async def test_a_module_is_imported_under_its_name(place: Path) -> None:
    found = await find_target("somewhere:flow", NoFleet())
    assert found.unit is None
    assert found.workflow.tasks[0].reference == "somewhere:one"
    assert "somewhere" in sys.modules


@pytest.mark.parametrize(
    "text", ["somewhere.py", "somewhere", "somewhere.py:Shelf.flow", "somewhere.py:on-the-shelf"]
)
async def test_the_only_workflow_a_dotted_one_and_a_workflow_by_its_name_are_found(
    place: Path, text: str
) -> None:
    assert (await find_target(text, NoFleet())).workflow.name == "on-the-shelf"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("somewhere.py:flo", "Did you mean 'flow'?"),
        ("somewhere.py:one", "is a task, not a workflow"),
        ("somwhere.py:flow", "Did you mean 'somewhere.py'?"),
        ("somwhere:flow", "Did you mean 'somewhere'?"),
        ("no-module:flow", "there is no file 'no-module'"),
        ("needs_more.py:flow", "No module named 'surely_not_there'"),
        ("leaves.py:flow", "SystemExit"),
    ],
)
async def test_what_is_not_there_is_told_with_the_nearest_that_is(place: Path, text: str, said: str) -> None:
    (place / "needs_more.py").write_text("import surely_not_there\n", encoding="utf-8")
    (place / "leaves.py").write_text("import sys\nsys.exit(1)\n", encoding="utf-8")
    with pytest.raises(TargetNotFound) as caught:
        await find_target(text, NoFleet())
    assert said in str(caught.value)
    assert "targets.py" not in str(caught.value)


async def test_a_file_that_failed_to_load_leaves_no_module_behind(place: Path) -> None:
    (place / "raising.py").write_text("raise ValueError('no')\n", encoding="utf-8")
    before = set(sys.modules)
    with pytest.raises(TargetNotFound, match="ValueError: no"):
        await find_target("raising.py:flow", NoFleet())
    assert not [name for name in set(sys.modules) - before if name.startswith("_laneway_file_")]


async def test_a_workflow_named_like_a_task_of_its_file_is_found_by_that_name(place: Path) -> None:
    """As schedules and triggers name workflows of programs: by their own name, which a task may have too."""
    note = "@task\ndef note() -> int:\n    return 1\n"
    code = f"from laneway import Workflow, task\n{note}flow = Workflow('note', [note])\n"
    (place / "same.py").write_text(code, encoding="utf-8")
    found = await find_target("same.py:note", NoFleet())
    assert found.workflow.name == "note"
    assert found.reference == f"{place / 'same.py'}:flow"
