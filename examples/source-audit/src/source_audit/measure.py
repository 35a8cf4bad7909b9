"""One file: its size, functions, complexity, documentation, imports and findings, as a small JSON object."""

import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

from laneway.compat.review import parse, read_source, review_tree, unreadable
from laneway.compat.review_rules import Finding
from source_audit.complexity import FunctionFigures, functions_of
from source_audit.documentation import undocumented_api
from source_audit.imports import imports_of

__all__ = ["measure_file", "measure_source"]

_MOST_FUNCTIONS = 5
_MOST_FINDINGS = 12
_MOST_NAMES = 6
_MOST_IMPORTS = 60
_LONGEST_TEXT = 200


def measure_file(path: str) -> dict[str, Any]:
    """The figures of one file. Never raises for what is wrong with the file."""
    try:
        source = read_source(Path(path))
    except (OSError, SyntaxError, ValueError) as error:
        return _unreadable(path, error, 0, "")
    return measure_source(source, path)


def measure_source(source: str, path: str) -> dict[str, Any]:
    """The figures of one source text."""
    size = len(source.encode("utf-8", "replace"))
    try:
        tree = parse(source)
        functions, classes = functions_of(tree)
        names = undocumented_api(tree, path)
        imports = imports_of(tree)
        findings = review_tree(tree, source, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _unreadable(path, error, size, source)
    code, comments = count_lines(source)
    return {
        "path": path,
        "bytes": size,
        "lines": source.count("\n") + (not source.endswith("\n") and bool(source)),
        "code": code,
        "comments": comments,
        **_function_figures(functions),
        "classes": classes,
        "public": names.public,
        "undocumented": len(names.missing),
        "undocumented_first": [list(one) for one in names.missing[:_MOST_NAMES]],
        "imports": [[one.module, one.line, one.is_guarded, one.is_lazy] for one in imports[:_MOST_IMPORTS]],
        "imports_more": max(0, len(imports) - _MOST_IMPORTS),
        **_finding_figures(findings),
    }


def count_lines(source: str) -> tuple[int, int]:
    """Lines with code, and lines with a comment."""
    code: set[int] = set()
    comments: set[int] = set()
    layout = (
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    )
    try:
        for token in tokenize.generate_tokens(StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments.add(token.start[0])
            elif token.type not in layout:
                code.update(range(token.start[0], token.end[0] + 1))
    except tokenize.TokenError, SyntaxError:
        return len(code), len(comments)
    return len(code), len(comments)


def _function_figures(functions: list[FunctionFigures]) -> dict[str, Any]:
    worst = sorted(functions, key=lambda one: (-one.complexity, -one.nesting, one.line))[:_MOST_FUNCTIONS]
    return {
        "functions": len(functions),
        "complexity": sum(one.complexity for one in functions),
        "complexity_max": max((one.complexity for one in functions), default=0),
        "nesting_max": max((one.nesting for one in functions), default=0),
        "worst": [[one.name, one.line, one.complexity, one.nesting, one.length] for one in worst],
    }


def _finding_figures(findings: list[Finding]) -> dict[str, Any]:
    rules: dict[str, int] = {}
    for one in findings:
        rules[one.rule] = rules.get(one.rule, 0) + 1
    order = {"error": 0, "warning": 1, "note": 2}
    kept = sorted(findings, key=lambda one: (order[one.severity], one.line))[:_MOST_FINDINGS]
    return {
        "rules": rules,
        "findings": [
            [one.rule, one.line, one.column, one.message[:_LONGEST_TEXT], one.fix[:_LONGEST_TEXT]]
            for one in kept
        ],
        "findings_more": len(findings) - len(kept),
    }


def _unreadable(path: str, error: Exception, size: int, source: str) -> dict[str, Any]:
    return {
        "path": path,
        "bytes": size,
        "lines": source.count("\n"),
        "code": 0,
        "comments": 0,
        **_function_figures([]),
        "classes": 0,
        "public": 0,
        "undocumented": 0,
        "undocumented_first": [],
        "imports": [],
        "imports_more": 0,
        **_finding_figures([unreadable(error, path)]),
    }
