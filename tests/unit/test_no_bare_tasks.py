"""Every task of ours goes through `laneway.aio`: bare task creation is forbidden elsewhere in the source."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "laneway"
EXEMPT = {
    "aio",  # the one place where tasks are made
    # Run inside a worker, on a loop of the worker's own, where laneway imports as little as possible:
    "lanes/_coroutines.py",
    "lanes/_service.py",
    "testing/lanes.py",  # calls a lane as any program on plain asyncio would
    "testing/_store_leases.py",  # as above
    "testing/_store_questions.py",
    "testing/_store_runs.py",
    "testing/store_parts.py",
}
# Creates tasks whatever it is called on: asyncio, a loop (`loop.create_task`), or a name imported from asyncio.
FUNCTIONS = {"create_task", "ensure_future", "gather", "as_completed", "run_coroutine_threadsafe"}
CLASSES = {"Task", "TaskGroup"}
OURS = {"aio", "laneway.aio"}
OUR_GROUPS = {f"{module}.TaskGroup" for module in OURS}


def bare_tasks(source: str, filename: str = "<text>") -> list[str]:
    """Where a module creates tasks without `laneway.aio`, as `file:line: what`."""
    tree = ast.parse(source, filename)
    groups = _names_of_our_groups(tree)
    modules = _names_of_asyncio(tree)
    imported = _imported_from_asyncio(tree)
    found: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        match node.func:
            case ast.Attribute(value=owner, attr=name) if name in FUNCTIONS | CLASSES:
                owner_name = ast.unparse(owner)
                if owner_name in OURS or owner_name in groups:
                    continue
                if owner_name in modules or name == "create_task":
                    found.append(f"{filename}:{node.lineno}: {called}")
            case ast.Name(id=name) if name in imported:
                found.append(f"{filename}:{node.lineno}: {called}")
            case _:
                pass
    return found


def _names_of_asyncio(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name for alias in node.names if alias.name.startswith("asyncio")}
    return names


def _imported_from_asyncio(tree: ast.AST) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncio")
        for alias in node.names
        if alias.name in FUNCTIONS | CLASSES
    }


def _names_of_our_groups(tree: ast.AST) -> set[str]:
    """What `async with aio.TaskGroup() as name`, or `name = aio.TaskGroup()`, calls our groups."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AsyncWith(items=items):
                pairs: list[tuple[ast.expr, ast.expr | None]] = [
                    (item.context_expr, item.optional_vars) for item in items
                ]
            case ast.Assign(value=value, targets=[target]):
                pairs = [(value, target)]
            case ast.AnnAssign(value=ast.Call() as value, target=target):
                pairs = [(value, target)]
            case ast.arg(annotation=ast.expr() as annotation, arg=name):
                if ast.unparse(annotation) in OUR_GROUPS:
                    names.add(name)
                continue
            case _:
                continue
        for made, bound in pairs:
            if bound is not None and isinstance(made, ast.Call) and ast.unparse(made.func) in OUR_GROUPS:
                names.add(ast.unparse(bound))
    return names


def test_the_source_creates_no_bare_tasks() -> None:
    modules = [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if not any(path.is_relative_to(SOURCE / exempt) for exempt in EXEMPT)
    ]
    assert modules
    found = [
        place
        for path in modules
        for place in bare_tasks(path.read_text("utf-8"), str(path.relative_to(SOURCE.parents[1])))
    ]
    assert found == [], "use laneway.aio.create_task or laneway.aio.TaskGroup"


def test_every_exemption_is_still_needed() -> None:
    for exempt in EXEMPT - {"aio"}:
        assert bare_tasks((SOURCE / exempt).read_text("utf-8")), f"{exempt} needs no exemption any more"


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.create_task(f())",
        "import asyncio as a\na.gather(f(), g())",
        "import asyncio\nasyncio.ensure_future(f())",
        "import asyncio\nasyncio.tasks.create_task(f())",
        "import asyncio\nloop = asyncio.get_running_loop()\nloop.create_task(f())",
        "self.loop.create_task(f())",
        "import asyncio\nasync def m():\n  async with asyncio.TaskGroup() as g:\n    pass",
        "from asyncio import TaskGroup\nTaskGroup()",
        "from asyncio import create_task as spawn\nspawn(f())",
        "from asyncio import gather\ngather(f())",
        "import asyncio\nasyncio.Task(f())",
        "import asyncio\nasyncio.as_completed([f()])",
        "import asyncio\nasyncio.run_coroutine_threadsafe(f(), loop)",
        "import asyncio.tasks\nasyncio.tasks.ensure_future(f())",
    ],
)
def test_every_bare_way_is_found(source: str) -> None:
    assert len(bare_tasks(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from laneway import aio\naio.create_task(f())",
        "import laneway.aio\nlaneway.aio.create_task(f())",
        "from laneway import aio\nasync def m():\n  async with aio.TaskGroup() as g:\n    g.create_task(f())",
        "from laneway import aio\nself.group = aio.TaskGroup()\nself.group.create_task(f())",
        "from laneway import aio\ndef m(g: aio.TaskGroup): g.create_task(f())",
        "import asyncio\nasyncio.wait({t})\nasyncio.run(f())",
        "import asyncio\ndef m(task: asyncio.Task[int]) -> None: ...",
    ],
)
def test_our_own_ways_are_not(source: str) -> None:
    assert bare_tasks(source) == []
