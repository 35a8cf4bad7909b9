"""Where a distribution's own Python code imports given extension modules, and whether it can do without them."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from laneway._core.compat import Mention
from laneway.compat.review import parse, read_source

__all__ = ["mentions_in"]

_MOST_FILES = 400
_TOLERATES = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


def mentions_in(root: str, files: Sequence[str], modules: Sequence[str]) -> list[Mention]:
    """Imports of these modules in the distribution's Python files, tests left out; at most one a file and module.

    A bare import counts as guarded where all imports of the Python module that it stands in are.
    """
    found = _direct(root, files, modules)
    bare = {_module(one.file): one for one in found if not one.guarded}
    if not bare:
        return found
    around: dict[str, list[bool]] = {}
    for outer in _direct(root, files, list(bare)):
        around.setdefault(outer.module, []).append(outer.guarded)
    soft = {bare[module].file for module, guarded in around.items() if all(guarded)}
    return [msgspec.structs.replace(one, guarded=True) if one.file in soft else one for one in found]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _direct(root: str, files: Sequence[str], modules: Sequence[str]) -> list[Mention]:
    wanted = set(modules)
    stems = {one.rpartition(".")[2] for one in modules}
    found: list[Mention] = []
    for path in [one for one in files if one.endswith(".py") and not _is_test(one)][:_MOST_FILES]:
        try:
            source = read_source(Path(root, path))
            if not any(stem in source for stem in stems):
                continue
            tree = parse(source)
        except OSError, SyntaxError, ValueError, RecursionError, MemoryError:
            continue
        seen: set[tuple[str, bool]] = set()
        for module, line, guarded in _imports(tree, _package(path), wanted):
            if (module, guarded) not in seen:
                seen.add((module, guarded))
                found.append(Mention(module, path, line, guarded))
    return found


def _is_test(path: str) -> bool:
    parts = path.lower().split("/")
    return any(part in ("tests", "test", "conftest.py", "setup.py") for part in parts)


def _package(path: str) -> list[str]:
    return path.split("/")[:-1]


def _imports(tree: ast.Module, package: list[str], wanted: set[str]) -> Iterator[tuple[str, int, bool]]:
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += [(child, guarded) for child in node.orelse]
            continue
        if isinstance(node, ast.Try):
            inside = guarded or any(_goes_on(handler) for handler in node.handlers)
            waiting += [(child, inside) for child in node.body]
            rest: list[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
            waiting += [(child, guarded) for child in rest]
            continue
        if isinstance(node, ast.With) and any("suppress" in ast.dump(item) for item in node.items):
            waiting += [(child, True) for child in node.body]
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _names(node, package):
                if name in wanted:
                    yield name, node.lineno, guarded
        waiting += [(child, guarded) for child in ast.iter_child_nodes(node)]


def _names(node: ast.Import | ast.ImportFrom, package: list[str]) -> list[str]:
    """Every module that the statement may import."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    start = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*start, *(node.module.split(".") if node.module else [])])
    return [module, *(f"{module}.{one.name}" for one in node.names)]


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether the handler takes an ImportError and does not raise."""
    text = "ImportError" if handler.type is None else ast.unparse(handler.type)
    if not any(name in text for name in _TOLERATES):
        return False
    return not any(isinstance(node, ast.Raise) for node in handler.body)
