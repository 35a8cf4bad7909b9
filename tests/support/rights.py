"""What tests need root for: file systems and networks of their own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parts import lacking

__all__ = ["as_root", "small_disk"]


def as_root() -> list[str]:
    """What to put before a command so that it runs as root; says that it is lacking where that is not allowed."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        lacking("needs root: run as root, or allow sudo without a password")
    return [sudo, "-n"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in a new folder, of a size such as `1m`."""
    root = as_root()
    folder.mkdir()
    made = subprocess.run(
        [*root, "mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        lacking(f"cannot mount a file system here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*root, "umount", "-l", str(folder)], check=True)
