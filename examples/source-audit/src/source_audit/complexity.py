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


class FunctionFigures(NamedTuple):
    """One function: its dotted name within the file, where it starts, and how hard it is to follow."""

    name: str
    line: int
    complexity: int
    nesting: int
    length: int


def functions_of(tree: ast.Module) -> list[FunctionFigures]:
    """All functions and methods, nested ones counted by themselves."""
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
                waiting.append((child, f"{prefix}{child.name}."))
            elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                waiting.append((child, prefix))
    return sorted(found, key=lambda one: one.line)


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
            for child in ast.iter_child_nodes(node)
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
