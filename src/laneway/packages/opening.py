"""Opening a package, whatever its form: a folder, or an archive that is extracted once and verified at every load."""

import functools
from pathlib import Path

from laneway._core.errors import PackageUnreadable
from laneway.packages import bytecode
from laneway.packages.archive import ArchiveHead
from laneway.packages.cache import PackageCache
from laneway.packages.discoveries import Discoveries
from laneway.packages.folder import check_layout, is_package_folder, open_folder
from laneway.packages.manifest import check_python
from laneway.packages.package import Package
from laneway.packages.places import cache_places, first_there, first_usable, shelf_places
from laneway.packages.shelf import Shelf, is_package_name
from laneway.packages.signing import Trust, Verdict, verdict_of

__all__ = [
    "default_cache",
    "default_discoveries",
    "default_shelf",
    "installed_archive",
    "locate",
    "open_package",
]


def open_package(
    path: str | Path, *, cache: PackageCache | None = None, trust: Trust | None = None
) -> Package:
    """Open a package folder or a `.lane` file.

    What an archive holds is verified now against its RECORD, and RECORD against its signature, also where it was
    extracted before. Keep the package (its `hold`) as long as a worker may import from it.

    Args:
        path: a folder with `laneway.toml`, or a `.lane` file.
        cache: where archives are extracted; by default this user's cache, which keeps what it gave until the
            program ends.
        trust: whose signatures are accepted; by default unsigned packages are, too.

    Raises:
        PackageError: with what is wrong, all at once where several things can be known.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        return open_folder(place, trust)
    return _open_archive(place.absolute(), cache or default_cache(), trust or Trust())


@functools.cache
def default_cache() -> PackageCache:
    """This user's cache. What is opened through it stays in place until the program ends."""
    return PackageCache(first_usable(cache_places()), keeps=True)


def default_discoveries() -> Discoveries | None:
    """What is known of packages, beside this user's extracted ones; None where no folder can be written."""
    try:
        return default_cache().discoveries
    except PackageUnreadable:
        return None


def locate(text: str, shelf: Shelf | None = None) -> Path:
    """The folder or archive that a user means by a path, by `NAME` or by `NAME@VERSION`.

    Raises:
        PackageNotInstalled: there is no such path and no such installed package.
    """
    path = Path(text).expanduser()
    if path.is_file() or is_package_folder(path) or not is_package_name(text):
        return path
    installed = installed_archive(text, shelf)
    if installed is None and not path.exists():
        return (shelf or default_shelf()).find(text).path  # raises, with the nearest name
    return installed or path


def installed_archive(text: str, shelf: Shelf | None = None) -> Path | None:
    """The installed archive that `NAME@VERSION` or `NAME` means; None where it can only mean something else.

    Raises:
        PackageNotInstalled: `NAME@VERSION` is not installed.
    """
    if not is_package_name(text):
        return None
    shelf = shelf or default_shelf()
    return shelf.find(text).path if "@" in text or shelf.has(text) else None


def default_shelf() -> Shelf:
    """This user's installed packages, for looking; makes no folder."""
    return Shelf(first_there(shelf_places()))


def _open_archive(path: Path, cache: PackageCache, trust: Trust) -> Package:
    verdicts: list[Verdict] = []

    def check(head: ArchiveHead) -> None:
        verdicts.append(verdict_of(str(path), head.record, head.signature, trust))
        check_python(head.manifest)
        check_layout({one.path for one in head.files}, head.manifest)

    head, hold = cache.take(path, check)
    if not trust.allow_unsigned:  # byte code is not signed: it is made anew from the verified sources
        bytecode.forget(hold.root)
    bytecode.compile_once(hold.root, head.files)
    return Package(
        manifest=head.manifest,
        root=hold.root,
        content_hash=head.content_hash,
        files=head.files,
        signature=verdicts[0],
        archive=path,
        hold=hold,
    )
