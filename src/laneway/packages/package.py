"""The record of an opened package, and the unit that a worker loads."""

from pathlib import Path

import msgspec

from laneway.packages._record import FileEntry
from laneway.packages.hold import Hold
from laneway.packages.manifest import Manifest
from laneway.packages.signing import Verdict
from laneway.ports import Unit

__all__ = ["Package"]

_KEY_DIGITS = 32
"""128 bits: nobody makes a package that passes for another's code."""


class Package(msgspec.Struct, frozen=True):
    """A package that was opened and found in order. Nothing of it was imported yet."""

    manifest: Manifest
    root: Path
    """Absolute folder with `laneway.toml`, `src/` and maybe `vendor/`."""
    content_hash: str
    """SHA-256 in hex over paths and contents of all its files; equal for the folder and its archive."""
    files: tuple[FileEntry, ...] = ()
    signature: Verdict = Verdict("unsigned")
    archive: Path | None = None
    """The `.lane` file it was opened from; None for a folder."""
    hold: Hold | None = None
    """Keeps an archive's extracted files in place. Close it once no worker may import from them."""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The package's version."""
        return self.manifest.version

    @property
    def label(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}"

    def unit(self) -> Unit:
        """What a worker loads to run this package's tasks."""
        paths = [self.root / "src"]
        vendor = self.root / "vendor"
        if vendor.is_dir():
            paths.append(vendor)
        return Unit(
            key=f"package:{self.name}@{self.version}:{self.content_hash[:_KEY_DIGITS]}",
            kind="package",
            entry=self.manifest.entry_module,
            paths=tuple(str(path) for path in paths),
            name=self.label,
            policy=self.manifest.policy,
            limits=self.manifest.limits,
        )
