"""Which parts of a file's public API have no docstring."""

import ast
import re
from typing import NamedTuple

__all__ = ["Documentation", "undocumented_api"]

_TEST_PATH = re.compile(r"(^|/)(tests?|testing|idle_test)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")
_QUIET_DECORATORS = frozenset({"overload", "setter", "deleter", "getter", "override"})


class Documentation(NamedTuple):
    """How many public definitions there are, and (name, line) of those without a docstring."""

    public: int
    missing: list[tuple[str, int]]


def undocumented_api(tree: ast.Module, path: str) -> Documentation:
    """Public classes, functions and methods; nothing for tests and for modules whose name starts with `_`."""
    name = path.rpartition("/")[2].removesuffix(".py")
    is_private = name.startswith("_") and not name.startswith("__")
    if is_private or _TEST_PATH.search(path):
        return Documentation(0, [])
    missing: list[tuple[str, int]] = []
    public = _walk(tree.body, "", missing)
    return Documentation(public, missing)


def _walk(body: list[ast.stmt], prefix: str, missing: list[tuple[str, int]]) -> int:
    public = 0
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or any(_last(one) in _QUIET_DECORATORS for one in node.decorator_list):
            continue
        public += 1
        if ast.get_docstring(node, clean=False) is None:
            missing.append((f"{prefix}{node.name}", node.lineno))
        if isinstance(node, ast.ClassDef):
            public += _walk(node.body, f"{prefix}{node.name}.", missing)
    return public


def _last(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Attribute):
        return decorator.attr
    return decorator.id if isinstance(decorator, ast.Name) else ""
