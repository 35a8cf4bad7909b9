"""The capability gate: packages and modules with native code that an interpreter refuses go to the process lane."""

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from laneway import Engine
from laneway._core.errors import WorkflowInvalid
from laneway._core.model import TaskSpec
from laneway.compat.gate import CapabilityGate, UnitLike

MANIFEST = """\
[package]
name = "with-native"
version = "1.0"
entry_module = "work"

[policy]
native = true
"""

CODE = """\
from laneway import task

@task(cpu=True{lane})
def answer() -> int:
    from {module} import answer
    return answer
"""


def package(folder: Path, site: Path, *names: str, lane: str = "", module: str = "no_slot") -> Path:
    """A package folder with these files vendored, whose only task imports a native module when it runs."""
    (folder / "src").mkdir(parents=True)
    (folder / "vendor").mkdir()
    (folder / "laneway.toml").write_text(MANIFEST)
    (folder / "src" / "work.py").write_text(CODE.format(lane=lane, module=module))
    for path in site.iterdir():
        if path.name.partition(".")[0] in names and "dist-info" not in path.name:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, folder / "vendor" / path.name)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def test_auto_takes_the_process_lane_for_a_package_whose_native_module_refuses_even_lazily(
    tmp_path: Path, site: Path
) -> None:
    folder = package(tmp_path / "package", site, "no_slot")
    async with Engine("memory://") as engine:
        result = await engine.run(str(folder))
        target = await engine.load(str(folder))
        assert target.unit is not None
        choice = engine.choice(target.workflow.tasks[0], target.unit)
    assert result.context["answer"] == 42
    assert [step.lane for step in result.steps] == ["process"]
    assert (
        "no_slot cannot load in an isolated interpreter: no multi-interpreter support declared"
        in choice.reason
    )


async def test_an_explicit_interpreter_lane_is_refused_with_reason_and_alternative(
    tmp_path: Path, site: Path
) -> None:
    folder = package(tmp_path / "package", site, "no_slot", lane=', lane="interpreter"')
    async with Engine("memory://") as engine:
        with pytest.raises(WorkflowInvalid) as caught:
            await engine.run(str(folder))
    assert "no_slot cannot load in an isolated interpreter" in caught.value.problems[0]
    assert "use lane='process'" in caught.value.problems[0]


async def test_a_package_whose_native_modules_declare_support_stays_on_the_interpreter_lane(
    tmp_path: Path, site: Path
) -> None:
    folder = package(tmp_path / "package", site, "good_module", module="good_module")
    async with Engine("memory://") as engine:
        result = await engine.run(str(folder))
    assert result.context["answer"] == 42
    assert [step.lane for step in result.steps] == ["interpreter"]


def test_what_code_can_do_without_keeps_only_automatic_choice_away(tmp_path: Path, site: Path) -> None:
    folder = package(tmp_path / "package", site, "optional", module="optional.core")
    unit = UnitLike("k", "package", "work", (str(folder / "src"), str(folder / "vendor")))
    found = CapabilityGate(str(tmp_path / "gate")).look(unit)
    assert found.needed == ()
    assert [module for module, _ in found.optional] == ["optional._fast"]
    assert found.refusal(strictly=False) is None
    assert "optional._fast" in (found.refusal(strictly=True) or "")


def test_the_answer_is_kept_until_a_file_changes(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = package(tmp_path / "package", site, "no_slot")
    unit = UnitLike("k", "package", "work", (str(folder / "vendor"),))
    first = CapabilityGate(str(tmp_path / "gate")).look(unit)
    monkeypatch.setattr("laneway.compat._gate_probe.ask", lambda files: pytest.fail("asked again"))
    assert CapabilityGate(str(tmp_path / "gate")).look(unit) == first
    monkeypatch.undo()
    native = next((folder / "vendor").glob("no_slot*"))
    shutil.copy(
        next(site.glob("good_module*.so")), native.with_name(native.name.replace("no_slot", "good_module"))
    )
    native.unlink()
    assert CapabilityGate(str(tmp_path / "gate")).look(unit) == ((), ())


def test_a_module_of_the_program_is_judged_by_what_it_has_imported(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    native = __import__("no_slot")
    try:
        module = ModuleType("program_with_native")
        module.__dict__.update(native=native, path=Path)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        plain = ModuleType("program_without")
        plain.__dict__.update(path=Path)
        monkeypatch.setitem(sys.modules, plain.__name__, plain)
        gate = CapabilityGate(str(tmp_path / "gate"))
        assert [name for name, _ in gate.look(UnitLike("a", "module", module.__name__, ())).needed] == [
            "no_slot"
        ]
        assert gate.look(UnitLike("b", "module", plain.__name__, ())) == ((), ())
    finally:
        del sys.modules["no_slot"]


def test_tasks_of_other_lanes_never_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    from laneway.assembly import Assembly
    from laneway.lanes import Fleet, InterpreterLane, ProcessLane, ThreadLane
    from laneway.ports import Unit

    monkeypatch.setattr(CapabilityGate, "look", lambda *_: pytest.fail("asked"))
    fleet = Fleet()
    lanes: dict[str, Any] = {
        one.name: one for one in (ThreadLane(fleet), InterpreterLane(fleet), ProcessLane(fleet))
    }
    assembly = Assembly(lanes)
    spec = TaskSpec("a", "json:dumps", file="json.py")
    assert assembly.choice(spec, Unit("module:json", "module", "json")).lane == "thread"


async def test_where_interpreters_are_switched_off_native_modules_do_not_matter(
    tmp_path: Path, site: Path
) -> None:
    folder = package(tmp_path / "package", site, "no_slot", lane=', lane="interpreter"')
    async with Engine("memory://", interpreters=False) as engine:
        result = await engine.run(str(folder))
    assert result.context["answer"] == 42
