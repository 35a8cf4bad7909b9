"""Installed packages: `.lane` files by name and version, found again as `NAME` or `NAME@VERSION`."""

import contextlib
import os
import re
import shutil
import tempfile
from difflib import get_close_matches
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from laneway._core.errors import PackageError, PackageNotInstalled, PackageUnreadable
from laneway.packages.archive import SUFFIX, ArchiveHead, read_head, verify_archive

__all__ = ["Installed", "Shelf", "is_package_name"]

_WANTED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:@([A-Za-z0-9][A-Za-z0-9.!+_-]*))?")


class Installed(msgspec.Struct, frozen=True):
    """One installed package."""

    name: str
    version: str
    content_hash: str
    path: Path
    size_bytes: int
    signed: bool
    problem: str = ""
    """Why the file cannot be used, or empty."""


def is_package_name(text: str) -> bool:
    """True for `NAME` and `NAME@VERSION`."""
    return _WANTED.fullmatch(text) is not None


class Shelf:
    """A folder of installed packages: `<name>/<version>.lane`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()

    def install(self, archive: Path, *, replace: bool = False) -> Installed:
        """Verify an archive and keep a copy. Installing the same content again changes nothing.

        Raises:
            ArchiveRefused, ManifestInvalid: the archive is not in order.
            PackageUnreadable: another content has that name and version, or the shelf cannot be written.
        """
        head = verify_archive(archive)
        target = self._place(head)
        if target.exists() and not replace:
            there = self._installed(target)
            if there.content_hash == head.content_hash and there.signed == bool(head.signature):
                return there
            label = f"{head.manifest.name} {head.manifest.version}"
            advice = "Give it another version, or use --replace"
            raise PackageUnreadable(
                package=label, reason="other content is installed under that version", advice=advice
            )
        temporary = ""
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
                temporary = file.name
                with archive.open("rb") as source:
                    shutil.copyfileobj(source, file)
            if verify_archive(Path(temporary)).record != head.record:
                raise PackageUnreadable(
                    package=str(archive), reason="it changed while it was read", advice="Try again"
                )
            os.replace(temporary, target)
        except OSError as error:
            reason = f"{str(target)!r} cannot be written ({error.strerror})"
            raise PackageUnreadable(
                package=str(archive), reason=reason, advice="Set another --shelf"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return self._installed(target)

    def listed(self) -> list[Installed]:
        """What is installed, by name and version; damaged files too, with their problem."""
        found = [self._installed(path) for path in self.folder.glob(f"*/*{SUFFIX}")]
        return sorted(found, key=lambda one: (one.name, _order(one.version)))

    def has(self, name: str) -> bool:
        """True when some version of that package is installed; opens no file."""
        return any((self.folder / canonicalize_name(name)).glob(f"*{SUFFIX}"))

    def find(self, wanted: str) -> Installed:
        """The package that `NAME` (its latest version) or `NAME@VERSION` means; `1.2` also means the latest `1.2.x`.

        Raises:
            PackageNotInstalled: with the nearest names or the versions that are there.
        """
        match = _WANTED.fullmatch(wanted)
        name, version = (canonicalize_name(match[1]), match[2]) if match else (wanted, None)
        there = self.listed()
        same = [one for one in there if canonicalize_name(one.name) == name]
        if not same:
            near = get_close_matches(name, {one.name for one in there}, 1)
            advice = (
                f"Did you mean {near[0]!r}?" if near else "`laneway package list` shows what is installed"
            )
            raise PackageNotInstalled(
                package=wanted, reason="no package of that name is installed", advice=advice
            )
        fitting = [one for one in same if version is None or _fits(one.version, version)]
        if not fitting:
            versions = ", ".join(one.version for one in same)
            raise PackageNotInstalled(
                package=wanted, reason="that version is not installed", advice=f"There are {versions}"
            )
        stable = [one for one in fitting if not _order(one.version).is_prerelease]
        return (stable or fitting)[-1]

    def remove(self, wanted: str) -> Installed:
        """Take a package off the shelf; which one is as in `find`. Its extracted files are the cache's affair."""
        found = self.find(wanted)
        found.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            found.path.parent.rmdir()
        return found

    def _place(self, head: ArchiveHead) -> Path:
        return self.folder / canonicalize_name(head.manifest.name) / f"{head.manifest.version}{SUFFIX}"

    def _installed(self, path: Path) -> Installed:
        name, version = path.parent.name, path.name.removesuffix(SUFFIX)
        try:
            head = read_head(path)
        except PackageError as error:
            return Installed(name, version, "", path, 0, signed=False, problem=str(error))
        return Installed(
            name=head.manifest.name,
            version=head.manifest.version,
            content_hash=head.content_hash,
            path=path,
            size_bytes=head.archive_bytes,
            signed=bool(head.signature),
        )


def _fits(version: str, wanted: str) -> bool:
    try:
        exact = Version(version) == Version(wanted)
    except InvalidVersion:
        return False
    return exact or version.startswith(f"{wanted}.")


def _order(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")
