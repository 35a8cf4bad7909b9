"""Packages: the unit people share. Manifest, folder and archive, vendoring, signing, discovery."""

from pathlib import Path

from laneway.packages.discovery import chosen_workflow, workflows_of
from laneway.packages.folder import Package, open_folder
from laneway.packages.manifest import Manifest, read_manifest

__all__ = ["Manifest", "Package", "chosen_workflow", "open_package", "read_manifest", "workflows_of"]


def open_package(path: str | Path) -> Package:
    """Open a package folder.

    Raises:
        PackageError: with what is wrong, all at once where several things can be known.
    """
    return open_folder(Path(path))
