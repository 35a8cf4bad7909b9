"""Cyclomatic complexity, nesting and length of each function (McCabe 1976, with comprehensions and match)."""

import ast
from typing import NamedTuple

__all__ = ["FunctionFigures", "functions_of"]

_BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.Assert,
)
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


_FIELDS = {
    kind: tuple(name for name in kind._fields if name not in ("ctx", "op", "ops", "type_ignores"))
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
_LEAVES = (ast.Name, ast.Constant)


class FunctionFigures(NamedTuple):
    """One function: its dotted name within the file, where it starts, and how hard it is to follow."""

    name: str
    line: int
    complexity: int
    nesting: int
    length: int


def functions_of(tree: ast.Module) -> tuple[list[FunctionFigures], int]:
    """All functions and methods, nested ones counted by themselves; and the number of classes."""
    classes = 0
    found: list[FunctionFigures] = []
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _FUNCTIONS):
                name = f"{prefix}{child.name}"
                found.append(_figures(child, name))
                waiting.append((child, f"{name}."))
            elif isinstance(child, ast.ClassDef):
                classes += 1
                waiting.append((child, f"{prefix}{child.name}."))
            elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                waiting.append((child, prefix))
    return sorted(found, key=lambda one: one.line), classes


def _figures(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> FunctionFigures:
    complexity, deepest = 1, 0
    waiting: list[tuple[ast.AST, int, bool]] = [(statement, 0, False) for statement in function.body]
    while waiting:
        node, depth, is_elif = waiting.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            continue
        complexity += _decisions(node)
        if isinstance(node, _BLOCKS) and not is_elif:
            depth += 1
            deepest = max(deepest, depth)
        chained = node.orelse if isinstance(node, ast.If) and len(node.orelse) == 1 else []
        waiting += [
            (child, depth, child in chained and isinstance(child, ast.If))
            for child in _children(node)
            if not isinstance(child, _LEAVES)
        ]
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    return FunctionFigures(name, function.lineno, complexity, deepest, length)


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.match_case):
        is_default = (
            isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None and node.guard is None
        )
        return 0 if is_default else 1
    return 1 if isinstance(node, _BRANCHES) else 0


def _children(node: ast.AST) -> list[ast.AST]:
    """Like `ast.iter_child_nodes`, without operators and contexts, and faster."""
    found: list[ast.AST] = []
    for name in _FIELDS[type(node)]:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found
