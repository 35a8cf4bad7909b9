"""Opening a package, whatever its form: a folder, or an archive that is extracted once and verified at every load."""

import os
import platform
import shutil
from pathlib import Path

from laneway._core.errors import PackageUnreadable
from laneway.packages.archive import ArchiveHead
from laneway.packages.cache import PackageCache
from laneway.packages.folder import check_layout, open_folder
from laneway.packages.manifest import check_python
from laneway.packages.package import Package
from laneway.packages.signing import Trust, Verdict, verdict_of

__all__ = ["open_package"]


def open_package(
    path: str | Path, *, cache: PackageCache | None = None, trust: Trust | None = None
) -> Package:
    """Open a package folder or a `.lane` file.

    What an archive holds is verified now against its RECORD, and RECORD against its signature, also where it was
    extracted before. Keep the package (its `hold`) as long as a worker may import from it.

    Args:
        path: a folder with `laneway.toml`, or a `.lane` file.
        cache: where archives are extracted; needed for a `.lane` file.
        trust: whose signatures are accepted; by default unsigned packages are, too.

    Raises:
        PackageError: with what is wrong, all at once where several things can be known.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        return open_folder(place, trust)
    if cache is None:
        advice = "Give open_package(..., cache=PackageCache(folder))"
        raise PackageUnreadable(
            package=str(path), reason="an archive needs a folder to be extracted to", advice=advice
        )
    return _open_archive(place.absolute(), cache, trust or Trust())


def _open_archive(path: Path, cache: PackageCache, trust: Trust) -> Package:
    verdicts: list[Verdict] = []

    def check(head: ArchiveHead) -> None:
        verdicts.append(verdict_of(str(path), head.record, head.signature, trust))
        check_python(head.manifest, platform.python_version())

    head, hold = cache.take(path, check)
    try:
        check_layout(hold.root, head.manifest)
    except PackageUnreadable:
        hold.close()
        raise
    if not trust.allow_unsigned:
        _forget_byte_code(hold.root)
    return Package(
        manifest=head.manifest,
        root=hold.root,
        content_hash=head.content_hash,
        files=head.files,
        signature=verdicts[0],
        archive=path,
        hold=hold,
    )


def _forget_byte_code(root: Path) -> None:
    """Byte code is not signed. Where only signed code may run it is made anew from the verified sources."""
    for folder, names, _ in os.walk(root):
        if "__pycache__" in names:
            names.remove("__pycache__")
            shutil.rmtree(Path(folder, "__pycache__"), ignore_errors=True)
