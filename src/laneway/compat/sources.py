"""The review of a project's own source: which files, and all their findings with paths relative to the project."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from laneway.compat.matrix import FindingRow
from laneway.compat.review import DEFAULT_OFF, review_file
from laneway.compat.review_rules import RULES

__all__ = ["Reviewed", "review_sources", "source_files"]

_SKIPPED = frozenset(
    (
        "__pycache__", "node_modules", "site-packages", "build", "dist", "vendor", "_vendor", "venv", "env",
        "migrations_archive",
    )
)  # fmt: skip
_MOST_FILES = 20_000


class Reviewed(msgspec.Struct, frozen=True):
    """What the review looked at and found."""

    files: int
    findings: tuple[FindingRow, ...]


def source_files(places: Iterable[str | Path]) -> Iterator[Path]:
    """Python files below these places; environments, vendored code, caches and hidden folders left out."""
    for place in places:
        if Path(place).is_file():
            yield Path(place)
            continue
        for folder, names, files in os.walk(place):
            is_environment = "pyvenv.cfg" in files
            names[:] = (
                []
                if is_environment
                else sorted(one for one in names if one not in _SKIPPED and not one.startswith("."))
            )
            if not is_environment:
                yield from (Path(folder, one) for one in sorted(files) if one.endswith((".py", ".pyw")))


def review_sources(
    places: Sequence[str | Path], *, root: Path, select: Iterable[str] = frozenset(RULES) - DEFAULT_OFF
) -> Reviewed:
    """Review the sources in these places. Paths are shown relative to `root` where they lie below it."""
    found: list[FindingRow] = []
    count = 0
    rules = frozenset(select)
    for path in source_files(places):
        if count >= _MOST_FILES:
            break
        count += 1
        absolute = path.absolute()
        shown = str(absolute.relative_to(root)) if absolute.is_relative_to(root) else str(absolute)
        found += [
            FindingRow(one.rule, one.severity, shown, one.line, one.column, one.message, one.fix)
            for one in review_file(path, select=rules)
        ]
    return Reviewed(count, tuple(found))
