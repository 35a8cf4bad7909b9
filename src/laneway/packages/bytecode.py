"""Byte code for extracted and vendored code, made once: a package's workers may not write any, and compiling costs.

Measured with sqlglot (190 modules): a worker's first task comes after 1.0 s with byte code, after 2.3 s without.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from laneway.packages._record import FileEntry

__all__ = ["compile_once", "compile_trees", "forget"]

_SECONDS = 120
_WORTH_BYTES = 64 * 1024
"""Less source than this compiles faster than a process starts."""
_PROGRAM = """
import compileall, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for folder in sys.argv[1:]:
    compileall.compile_dir(folder, quiet=2, maxlevels=64, workers=1)
"""


def compile_once(root: Path, files: Iterable[FileEntry]) -> None:
    """Compile what an archive brought, unless this Python did so before. Never fails: workers can do without."""
    marker = root / f".compiled-{sys.implementation.cache_tag}"
    size = sum(one.size_bytes for one in files if one.path.endswith(".py"))
    if size >= _WORTH_BYTES and not marker.exists():
        compile_trees([root / "src", root / "vendor"])
        with contextlib.suppress(OSError):
            marker.touch()


def compile_trees(folders: Iterable[Path]) -> None:
    """Compile in a process of its own, within bounds: the source is somebody else's."""
    arguments = [str(folder) for folder in folders if folder.is_dir()]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )


def forget(root: Path) -> None:
    """Remove all byte code in a tree, and the note that it was made."""
    for cache in [*root.rglob("__pycache__")]:
        shutil.rmtree(cache, ignore_errors=True)
    for marker in root.glob(".compiled-*"):
        marker.unlink(missing_ok=True)
