"""What `import laneway` gives, what it costs in imports, and that each public name has one home."""

import ast
import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from surroundings import modules_around

import laneway
from laneway import Engine
from laneway.authoring import spec_of
from laneway.engine.target import Target

SOURCE = Path(laneway.__file__).parent
DRIVERS = {
    "psycopg",
    "celery",
    "starlette",
    "uvicorn",
    "jinja2",
    "opentelemetry",
    "langgraph",
    "cryptography",
    "redis",
}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_every_public_name_can_be_had_and_no_other_is_promised() -> None:
    for name in laneway.__all__:
        assert getattr(laneway, name) is not None
    assert sorted(laneway.__all__) == sorted(laneway._HOME)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Enginee'"):
        _ = laneway.Enginee


def test_every_public_name_is_exported_from_exactly_one_place() -> None:
    homes: Counter[str] = Counter()
    for name in laneway.__all__:
        home = laneway._HOME[name]
        assert name in import_module(home).__all__
        homes[name] += 1
    assert set(homes.values()) == {1}


def test_every_public_module_says_what_lives_there_and_what_is_public() -> None:
    missing: list[str] = []
    for file in SOURCE.rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        if not ast.get_docstring(tree):
            missing.append(f"{file.relative_to(SOURCE)}: no docstring")
        public = not any(part.startswith("_") for part in file.relative_to(SOURCE).parts)
        names = {
            target.id for node in tree.body for target in _assigned(node) if isinstance(target, ast.Name)
        }
        if public and "__all__" not in names:
            missing.append(f"{file.relative_to(SOURCE)}: no __all__")
    assert missing == []


def _assigned(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        str(file.relative_to(SOURCE)): lines
        for file in SOURCE.rglob("*.py")
        if (lines := len(file.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}


def test_importing_laneway_imports_nothing_but_itself() -> None:
    assert modules_after("import laneway") - modules_after("pass") == {"laneway"}


def test_authoring_needs_the_standard_library_only() -> None:
    extra = modules_after("from laneway import task, Workflow, cancelled, LanewayError")
    tops = {name.partition(".")[0] for name in extra}
    assert tops - sys.stdlib_module_names - modules_after("pass") == {"laneway"}


def test_the_engine_and_the_command_line_import_no_driver_and_no_web_framework() -> None:
    loaded = {
        name.partition(".")[0] for name in modules_after("import laneway.app, laneway.targets, laneway.cli")
    }
    assert not loaded & DRIVERS


@pytest.mark.parametrize("lane", ["interpreter", "process"])
async def test_a_worker_has_the_standard_library_laneway_and_the_tasks_own_module(lane: str) -> None:
    spec = spec_of(modules_around)
    assert spec is not None
    workflow = laneway.Workflow("around", [modules_around]).spec._replace(tasks=(spec._replace(lane=lane),))
    async with Engine("memory://", workers=1) as engine:
        result = await engine.run(Target(workflow, None, "around"), {})
    assert result.context["modules_around"] == ["laneway", "surroundings"]
