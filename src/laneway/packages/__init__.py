"""Packages: the unit people share. Manifest, folder and archive, vendoring, signing, discovery."""

from laneway.packages.archive import build_archive, verify_archive
from laneway.packages.cache import PackageCache
from laneway.packages.discovery import chosen_workflow, workflows_of
from laneway.packages.hold import Hold
from laneway.packages.manifest import Manifest, read_manifest
from laneway.packages.opening import open_package
from laneway.packages.package import Package
from laneway.packages.signing import Trust, Verdict, trusted

__all__ = [
    "Hold",
    "Manifest",
    "Package",
    "PackageCache",
    "Trust",
    "Verdict",
    "build_archive",
    "chosen_workflow",
    "open_package",
    "read_manifest",
    "trusted",
    "verify_archive",
    "workflows_of",
]
