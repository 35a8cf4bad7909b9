"""Where packages are kept on this machine: extracted archives (the cache) and installed ones (the shelf)."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from laneway._core.errors import PackageUnreadable

__all__ = ["cache_places", "first_there", "first_usable", "shelf_places"]


def cache_places(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Folders for extracted archives, best first: XDG cache, then the system's temporary folder."""
    return [*_xdg(environment, "XDG_CACHE_HOME", ".cache"), _temporary()]


def shelf_places(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Folders for installed packages, best first: XDG data, then the system's temporary folder."""
    return [*_xdg(environment, "XDG_DATA_HOME", ".local/share"), _temporary()]


def first_usable(places: Iterable[Path]) -> Path:
    """The first folder that is there or can be made, is this user's, and can be written.

    Raises:
        PackageUnreadable: none is.
    """
    tried: list[str] = []
    for place in places:
        with contextlib.suppress(OSError):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(mode=0o700, exist_ok=True)
            if _is_own(place.parent) and _is_own(place) and os.access(place, os.W_OK | os.X_OK):
                return place
        tried.append(str(place))
    reason = f"no folder for packages can be written; tried {', '.join(tried)}"
    raise PackageUnreadable(
        package="laneway", reason=reason, advice="Set XDG_CACHE_HOME to a folder that can be written"
    )


def first_there(places: Sequence[Path]) -> Path:
    """The first folder that is there and this user's, else the first of all; makes nothing."""
    return next((place for place in places if place.is_dir() and _is_own(place)), places[0])


def _is_own(place: Path) -> bool:
    status = place.stat()
    return status.st_uid == os.getuid() and not status.st_mode & stat.S_IWOTH


def _xdg(environment: Mapping[str, str], name: str, fallback: str) -> list[Path]:
    given = environment.get(name, "")
    if os.path.isabs(given):
        return [Path(given) / "laneway" / "packages"]
    home = environment.get("HOME", "")
    return [Path(home) / fallback / "laneway" / "packages"] if os.path.isabs(home) else []


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"laneway-{os.getuid()}" / "packages"
