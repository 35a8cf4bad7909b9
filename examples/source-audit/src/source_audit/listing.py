"""Finding the Python files of a tree without holding up the event loop."""

import asyncio
import os

__all__ = ["python_files"]

_SKIPPED = frozenset(
    {
        "__pycache__",
        "__pypackages__",
        "node_modules",
        "site-packages",
        "dist-packages",
        "venv",
        "env",
        "vendor",
    }
)
_PAUSE_EVERY = 20


async def python_files(root: str) -> list[str]:
    """Absolute POSIX paths of the Python files below `root`, sorted; `root` may also be one file.

    Left out: folders that cannot be read, hidden ones, caches, installed packages below the root, broken source kept
    as test data, and file names that are not text.

    Raises:
        FileNotFoundError: there is nothing at `root`.
    """
    start = os.path.abspath(root)
    if os.path.isfile(start):
        return [start.replace(os.sep, "/")]
    if not os.path.isdir(start):
        raise FileNotFoundError(f"nothing to audit: {root} is not a folder or file")
    found: list[str] = []
    waiting = [(start, False)]
    visited = 0
    while waiting:
        folder, in_tests = waiting.pop()
        found += _entries(folder, in_tests, waiting)
        visited += 1
        if visited % _PAUSE_EVERY == 0:
            await asyncio.sleep(0)
    return sorted(found)


def _entries(folder: str, in_tests: bool, waiting: list[tuple[str, bool]]) -> list[str]:
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not _is_left_out(entry.name, in_tests):
                        waiting.append((entry.path, in_tests or entry.name in ("test", "tests", "testing")))
                elif entry.name.endswith(".py") and entry.is_file():
                    found.append(entry.path.replace(os.sep, "/"))
    except OSError:
        return found
    return found


def _is_left_out(name: str, in_tests: bool) -> bool:
    if name in _SKIPPED or name.startswith("."):
        return True
    return in_tests and (name.endswith("data") or name.startswith("bad"))
