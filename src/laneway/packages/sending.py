"""Packing a package that a program uses into the bytes that another machine opens."""

import tempfile
from pathlib import Path

from laneway._core.errors import PackageUnreadable
from laneway.packages._record import SIGNATURE_NAME
from laneway.packages.archive import build_archive
from laneway.packages.folder import open_folder
from laneway.ports import Unit

__all__ = ["content_of", "packed"]


def content_of(unit: Unit) -> str:
    """What names a package's content on other machines: the end of its unit's key."""
    return unit.key.rpartition(":")[2]


def packed(unit: Unit) -> bytes:
    """A package's unit as a `.lane` file, with its signature if it has one. Blocks.

    Raises:
        PackageError: its files cannot be read, or are no longer those that were loaded.
    """
    root = Path(unit.paths[0]).parent
    package = open_folder(root)
    if package.unit().key != unit.key:
        raise PackageUnreadable(
            package=unit.name, reason="its files changed since it was loaded", advice="Start the run again"
        )
    signature = root / SIGNATURE_NAME
    with tempfile.TemporaryDirectory(prefix="laneway-sending-") as folder:
        target = Path(folder) / "package.lane"
        build_archive(package, target, signature=signature.read_bytes() if signature.is_file() else b"")
        return target.read_bytes()
