"""Programs that `scripts/services` unpacked in the user's cache, on machines where it may not install them."""

import os
from pathlib import Path

__all__ = ["environment_for", "unpacked"]


def unpacked() -> Path:
    """The folder that stands for the root of a file system; it need not be there."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "laneway" / "services" / "root"


def environment_for(program: Path) -> dict[str, str]:
    """This process's environment; for an unpacked program with the libraries that came with it."""
    if not program.is_relative_to(unpacked()):
        return dict(os.environ)
    folders = [str(one) for one in (unpacked() / "usr" / "lib").glob("*-linux-*") if one.is_dir()]
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, given] if given else folders)}
