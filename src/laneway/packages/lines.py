"""Line numbers of the keys of a TOML text, which `tomllib` does not give."""

import re

__all__ = ["lines_of"]

_KEY_PART = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))\s*')
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """The 1-based line on which each key or table of a valid TOML text first appears.

    Keys inside inline tables and arrays of tables are left out; their owner's line stands for them. A text that
    is not TOML gives some answer and never an error.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    depth = 0
    for number, line in enumerate(_without_strings(text).split("\n"), 1):
        if depth > 0:
            depth = max(0, depth + _opened(line))
            continue
        stripped = line.strip()
        if stripped.startswith("["):
            table = _parts(stripped.strip("[] \t\r"))[0]
            _note(found, table, number)
        else:
            key, rest = _parts(stripped)
            if key and rest.startswith("="):
                _note(found, table + key, number)
                depth = max(0, _opened(rest))
    return found


def _note(found: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for end in range(1, min(len(path), 16) + 1):
        found.setdefault(path[:end], number)


def _without_strings(text: str) -> str:
    """The text with what stands in string values and comments blanked; quoted keys stay, lines keep their numbers."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        if token.startswith(("#", '"""', "'''")) or "\n" in token:
            return "\n" * token.count("\n")
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        is_key = "=" not in before and text[match.end() : match.end() + 20].lstrip(" \t")[:1] in (
            "=",
            ".",
            "]",
        )
        return token if is_key else '""'

    return _STRING.sub(blank, text)


def _opened(line: str) -> int:
    return line.count("[") + line.count("{") - line.count("]") - line.count("}")


def _parts(text: str) -> tuple[tuple[str, ...], str]:
    """The dotted key at the start of `text`, and what follows it."""
    parts: list[str] = []
    position = 0
    while match := _KEY_PART.match(text, position):
        parts.append(next(part for part in match.groups() if part is not None))
        position = match.end()
        if not text.startswith(".", position):
            break
        position += 1
    return tuple(parts), text[position:].lstrip()
