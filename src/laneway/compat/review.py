"""The source review of one text or file: removed APIs and thread-safety. Standard library only."""

import ast
import re
import sys
import tokenize
import warnings
from io import StringIO
from pathlib import Path

from laneway.compat.review_api import ApiReview
from laneway.compat.review_classes import SharedObjectReview
from laneway.compat.review_rules import RULES, Finding, rule_of
from laneway.compat.review_threads import SharedStateReview
from laneway.compat.review_walk import Handler, Walk

__all__ = ["DEFAULT_OFF", "parse", "read_source", "review_file", "review_source", "review_tree", "unreadable"]

DEFAULT_OFF = frozenset({"PY109", "FT201", "FT205", "FT206", "FT207"})
"""Rules that report only when asked for by id: opinions, and those right less than four times in five (measured)."""

_IGNORE = re.compile(r"#\s*laneway:\s*ignore(-file)?(?:\[([^\]]*)\])?")
_TEST_PATH = re.compile(
    r"(^|[\\/])(tests?|testing|idle_test)[\\/]|(^|[\\/])(test_[^\\/]*|[^\\/]*_test|conftest)\.py$"
)
_LARGEST = 4_000_000
_DEEPEST = 50_000


def review_source(
    source: str, path: str, *, select: frozenset[str] = frozenset(RULES) - DEFAULT_OFF
) -> list[Finding]:
    """All findings in one source text, in the order of lines. Never raises: what cannot be read is a finding.

    Args:
        source: the text of the file.
        path: shown in the findings; the thread-safety rules leave test code out, which they know by its path.
        select: the ids of the rules to apply.
    """
    try:
        tree = parse(source)
        try:
            return review_tree(tree, source, path, select=select)
        except RecursionError:
            return _deeply(tree, source, path, select)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [unreadable(error, path)] if "PY100" in select else []


def _deeply(tree: ast.Module, source: str, path: str, select: frozenset[str]) -> list[Finding]:
    """Review a tree that is nested deeper than usual, such as a table of long formulas."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        return review_tree(tree, source, path, select=select)
    finally:
        sys.setrecursionlimit(limit)


def review_file(path: Path, *, select: frozenset[str] = frozenset(RULES) - DEFAULT_OFF) -> list[Finding]:
    """Like `review_source`, for a file. Never raises for what may be wrong with the file."""
    try:
        source = read_source(path)
    except (OSError, SyntaxError, ValueError) as error:
        return [unreadable(error, str(path))] if "PY100" in select else []
    return review_source(source, str(path), select=select)


def read_source(path: Path) -> str:
    """The text of a Python file, decoded as its encoding cookie or byte order mark says.

    Raises:
        OSError: the file cannot be read.
        SyntaxError: the cookie names an unknown encoding.
        ValueError: the bytes do not fit the encoding, or the file is larger than 4 MB.
    """
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("larger than 4 MB: not reviewed")
    lines = iter(data.splitlines(keepends=True)[:2])
    try:
        encoding, _ = tokenize.detect_encoding(lambda: next(lines, b""))
        text = data.decode(encoding)
    except LookupError as error:
        raise SyntaxError(f"not a text encoding: {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(source: str) -> ast.Module:
    """The tree of a source text, without the warnings that parsing gives.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is not Python that this interpreter can read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def review_tree(
    tree: ast.Module, source: str, path: str, *, select: frozenset[str] = frozenset(RULES) - DEFAULT_OFF
) -> list[Finding]:
    """The findings in a tree that is there already; `source` is needed for the ignore comments.

    Raises:
        RecursionError: the tree is nested too deeply.
    """
    knows_annotations = "__annotate" in source or "annotationlib" in source
    reviews: list[ApiReview | SharedStateReview | SharedObjectReview] = [ApiReview(knows_annotations)]
    if _TEST_PATH.search(path) is None:
        reviews += [SharedStateReview(), SharedObjectReview()]
    handlers: dict[type[ast.AST], list[Handler]] = {}
    for review in reviews:
        for kind, wanted in review.handlers().items():
            handlers.setdefault(kind, []).extend(wanted)
    Walk(tree, handlers).run()
    found = {
        _finding(rule, node, path, message, fix)
        for review in reviews
        for rule, node, message, fix in review.finish()
        if rule in select
    }
    if "PY115" in select and _MAYBE_ESCAPE.search(source) is not None:
        found.update(_escapes(source, path))
    ordered = sorted(found, key=lambda one: (one.line, one.column, one.rule, one.message))
    return _without_ignored(ordered, source) if "laneway:" in source else ordered


def unreadable(error: Exception, path: str) -> Finding:
    """The PY100 finding for what reading or parsing a file raised."""
    line = column = None
    message = str(error) or type(error).__name__
    if isinstance(error, SyntaxError):
        line, column, message = error.lineno, error.offset, error.msg or message
    elif isinstance(error, RecursionError | MemoryError):
        message = "nested too deeply to be read"
    elif isinstance(error, OSError):
        message = f"cannot be read: {error.strerror or message}"
    message = message.encode("utf-8", "replace").decode()
    fix = "correct the file, or leave it out of the review"
    return Finding("PY100", "error", path, max(line or 1, 1), max((column or 1) - 1, 0), message, fix)


def _finding(rule: str, node: ast.AST, path: str, message: str, fix: str) -> Finding:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    return Finding(rule, RULES[rule].severity, path, line, column, message, fix)


_ESCAPE = re.compile(r"\\(?:[^\n\\'\"abfnrtvx0-7NuU]|$)")
_MAYBE_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[^\n\\'\"abfnrtvx0-7]")
_BYTES_ESCAPE = re.compile(r"\\(?:[^\n\\'\"abfnrtvx0-7]|$)")


def _escapes(source: str, path: str) -> list[Finding]:
    """Invalid escapes in ordinary string literals (f-strings and t-strings are left out)."""
    found: list[Finding] = []
    for token in _tokens(source):
        if token.type != tokenize.STRING or "\\" not in token.string:
            continue
        quote = re.search("['\"]", token.string)
        prefix = token.string[: quote.start()].lower() if quote else "r"
        body = re.sub(r"\\\\", "__", token.string)
        if "r" in prefix:
            continue
        match = (_BYTES_ESCAPE if "b" in prefix else _ESCAPE).search(body)
        if match is not None:
            line = token.start[0] + body.count("\n", 0, match.start())
            message = f"invalid escape sequence {match.group()!r}".replace("\\\\", "\\")
            found.append(
                Finding(
                    "PY115", "note", path, line, token.start[1], message, "use a raw string, or write \\\\"
                )
            )
    return found


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    tokens: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.generate_tokens(StringIO(source).readline):
            tokens.append(token)  # noqa: PERF402 - what came before an error counts
    except tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError:
        return tokens
    return tokens


def _without_ignored(findings: list[Finding], source: str) -> list[Finding]:
    everywhere: set[str] = set()
    by_line: dict[int, set[str]] = {}
    start = 1
    for token in _tokens(source):
        if token.type == tokenize.COMMENT:
            match = _IGNORE.search(token.string)
            if match is not None:
                ids = _ids(match.group(2))
                if match.group(1):
                    everywhere |= ids
                else:
                    for line in range(start, token.start[0] + 1):
                        by_line.setdefault(line, set()).update(ids)
        elif token.type == tokenize.NEWLINE:
            start = token.end[0] + 1
    return [
        one for one in findings if one.rule not in everywhere and one.rule not in by_line.get(one.line, ())
    ]


def _ids(listed: str | None) -> set[str]:
    """The rules an ignore comment names; all if it names none. Unknown names are passed over."""
    if listed is None:
        return set(RULES)
    return {
        rule.id for rule in map(rule_of, (part.strip() for part in listed.split(","))) if rule is not None
    }
