"""Noticing that a package's folder changed, without reading its files."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Stamp", "stamp_of", "until_changed"]

type Stamp = frozenset[tuple[str, int, int]]
"""Path, time of change and size of every file."""

_SKIPPED = frozenset({"__pycache__"})


def stamp_of(root: Path) -> Stamp:
    """What tells one state of a package's own files from another: `laneway.toml`, the lock and `src/`."""
    return frozenset(_entries(root / "laneway.toml", root / "laneway.lock", root / "src"))


async def until_changed(root: Path, seen: Stamp, *, poll_seconds: float = 0.05) -> Stamp:
    """Wait until the folder differs from `seen` and has been still for one look; returns its new stamp."""
    previous = seen
    while True:
        await asyncio.sleep(poll_seconds)
        found = stamp_of(root)
        if found != seen and found == previous:
            return found
        previous = found


def _entries(*places: Path) -> Iterator[tuple[str, int, int]]:
    pending = [str(place) for place in places]
    while pending:
        path = pending.pop()
        try:
            status = os.stat(path, follow_symlinks=False)
            if os.path.isdir(path):
                pending += [one.path for one in os.scandir(path) if one.name not in _SKIPPED]
            else:
                yield path, status.st_mtime_ns, status.st_size
        except OSError:  # gone between listing and looking: the next look sees what is there
            continue
