"""The folder that facts about code on this machine are kept in. Cheap to import: every engine does."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["cache_folder", "known_folders"]


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where results are kept: below XDG_CACHE_HOME, `~/.cache`, or the system's temporary folder."""
    *places, last = known_folders(environment)
    for folder in places:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    last.mkdir(mode=0o700, parents=True, exist_ok=True)
    return last


def known_folders(environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Where results may be kept, best first; makes nothing."""
    given, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if os.path.isabs(given):
        yield Path(given) / "laneway" / "compat"
    elif os.path.isabs(home):
        yield Path(home) / ".cache" / "laneway" / "compat"
    yield Path(tempfile.gettempdir()) / f"laneway-{os.getuid()}" / "compat"
