"""Names that a file in an archive may have: one answer on every file system, and never outside its folder."""

import unicodedata
from typing import NamedTuple

__all__ = ["BadName", "NameLedger", "bad_name"]

_MOST_PATH_BYTES = 400
_MOST_PART_BYTES = 200
_MOST_DEPTH = 32
_TOP_FILES = frozenset({"laneway.toml", "laneway.lock", "RECORD", "SIGNATURE"})
_TOP_FOLDERS = frozenset({"src", "vendor"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what a reader cannot see: control, format (direction marks, zero width), unassigned."""


class BadName(NamedTuple):
    """The rule that a name breaks, and the rule in words."""

    rule: str
    reason: str


def bad_name(name: str) -> BadName | None:
    """What is wrong with a relative path in an archive, or None."""
    if not name:
        return BadName("empty-name", "an entry has no name")
    if name.startswith("/"):
        return BadName("absolute-path", "an entry has an absolute path")
    if "\\" in name:
        return BadName("backslash", "an entry has a backslash in its name")
    if any(unicodedata.category(char) in _INVISIBLE for char in name):
        return BadName("invisible-character", "an entry has characters in its name that cannot be seen")
    if ":" in name:
        return BadName("colon", "an entry has a colon in its name, a drive or a stream on some systems")
    if unicodedata.normalize("NFC", name) != name:
        return BadName("not-normalised", "an entry's name is not in Unicode's normal form C")
    return _bad_parts(name)


def _bad_parts(name: str) -> BadName | None:
    parts = name.split("/")
    if ".." in parts:
        return BadName("parent-path", "an entry leads out of its folder with '..'")
    if "" in parts or "." in parts:
        return BadName("odd-path", "an entry has an empty part or '.' in its path")
    if len(name.encode()) > _MOST_PATH_BYTES or any(len(part.encode()) > _MOST_PART_BYTES for part in parts):
        return BadName(
            "long-name",
            f"an entry's name is longer than {_MOST_PATH_BYTES} bytes, or a part over {_MOST_PART_BYTES}",
        )
    if len(parts) > _MOST_DEPTH:
        return BadName("deep-path", f"an entry lies deeper than {_MOST_DEPTH} folders")
    if any(part != part.rstrip(" .") for part in parts):
        return BadName("trailing-dot", "a part of an entry's name ends with a dot or a space")
    if "__pycache__" in parts:
        return BadName("byte-code", "an entry is cached byte code, which would run instead of its source")
    if not (name in _TOP_FILES or (len(parts) > 1 and parts[0] in _TOP_FOLDERS)):
        return BadName("wrong-place", "an entry is outside laneway.toml, laneway.lock, src/ and vendor/")
    return None


class NameLedger:
    """Names seen so far in one archive; tells duplicates, case collisions and files used as folders."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._folded: dict[str, str] = {}
        """Folded path to the spelling and kind it was first seen with; folders end with a slash."""

    def add(self, name: str) -> BadName | None:
        """Note a valid name, or say what it collides with."""
        if name in self._exact:
            return BadName("duplicate-name", "two entries have one name")
        self._exact.add(name)
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
            first = self._folded.setdefault(_folded(path.rstrip("/")), path)
            if first.rstrip("/") != path.rstrip("/"):
                return BadName("case-collision", f"it differs from {first!r} only in case or form")
            if first != path:
                return BadName("file-as-folder", "one name is both a file and a folder")
        return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
