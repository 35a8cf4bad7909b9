"""What a file imports, where, and whether it can do without."""

import ast
from typing import NamedTuple

__all__ = ["Import", "imports_of"]

_FORGIVING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


class Import(NamedTuple):
    """One imported module. `module` starts with a dot per level if relative.

    `is_guarded`: inside a try that survives its absence or a condition. `is_lazy`: inside a function.
    """

    module: str
    line: int
    is_guarded: bool
    is_lazy: bool


def imports_of(tree: ast.Module) -> list[Import]:
    """Each module once, in the order of lines; an unguarded import at the top wins over the others."""
    found: dict[str, Import] = {}
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while waiting:
        node, guarded, lazy = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for module in _modules(child):
                    _keep(found, Import(module, child.lineno, guarded, lazy))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.append((child, guarded, True))
            elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                forgiving = isinstance(child, ast.If) or (isinstance(child, ast.Try) and _forgives(child))
                waiting.append((child, guarded or forgiving, lazy))
    return sorted(found.values(), key=lambda one: (one.line, one.module))


def _keep(found: dict[str, Import], new: Import) -> None:
    old = found.get(new.module)
    if old is None or (new.is_guarded, new.is_lazy, new.line) < (old.is_guarded, old.is_lazy, old.line):
        found[new.module] = new


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    stem = "." * node.level + (node.module or "")
    if node.level and not node.module:
        return [f"{stem}{alias.name}" for alias in node.names if alias.name != "*"]
    return [stem]


def _forgives(node: ast.Try) -> bool:
    for handler in node.handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(one is None or (isinstance(one, ast.Name) and one.id in _FORGIVING) for one in caught):
            return True
    return False
