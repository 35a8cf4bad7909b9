"""What identifies a task's code: a hash that comments, layout and decorators do not change. Standard library only."""

import ast
import hashlib
import linecache
from collections.abc import Callable
from copy import copy
from types import CodeType
from typing import Any

__all__ = ["fingerprint_of"]

_CONDITION = "__laneway_when__"
type _Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_trees: dict[str, tuple[list[str], ast.Module | None]] = {}
"""Parsed files by name, with the lines they were parsed from, so that a changed file is parsed anew."""


def fingerprint_of(function: Callable[..., Any]) -> str:
    """SHA-256 over the function's syntax tree, nested code and its `when=` predicate included.

    Where the source cannot be read (typed at a prompt, compiled away), the compiled code is hashed instead.
    """
    digest = hashlib.sha256(_form(function))
    condition = getattr(function, _CONDITION, None)
    if condition is not None:
        digest.update(b"\0when\0" + _form(condition))
    return digest.hexdigest()


def _form(function: Any) -> bytes:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return type(function).__qualname__.encode()
    node = _node(code)
    if node is None:
        return _compiled(code)
    if not isinstance(node, ast.Lambda):
        node = copy(node)
        node.decorator_list = []
    return ast.dump(node).encode("utf-8", "backslashreplace")


def _node(code: CodeType) -> _Function | None:
    tree = _tree(code.co_filename)
    if tree is None:
        return None
    found: list[_Function] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                found.append(node)
        elif (
            isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
        ):
            found.append(node)
    return found[0] if len(found) == 1 else None


def _tree(file: str) -> ast.Module | None:
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    known = _trees.get(file)
    if known is not None and known[0] is lines:
        return known[1]
    tree: ast.Module | None = None
    if lines:
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError, ValueError:
            tree = None
    _trees[file] = (lines, tree)
    return tree


def _compiled(code: CodeType) -> bytes:
    parts = [code.co_code, repr(code.co_names).encode(), repr(code.co_varnames).encode()]
    parts.extend(
        _compiled(constant) if isinstance(constant, CodeType) else repr(constant).encode()
        for constant in code.co_consts
    )
    return b"\0".join(parts)
