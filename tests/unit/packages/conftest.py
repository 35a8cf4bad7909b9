"""Packages made on the spot for the tests of the package reader."""

from pathlib import Path

import pytest
from package_folders import MANIFEST, MakeFolder, make_folder


@pytest.fixture
def folder(tmp_path: Path) -> MakeFolder:
    """Makes a package folder; keyword `manifest` is its text, `files` are further files by path."""

    def make(name: str = "shop", *, manifest: str = MANIFEST, files: dict[str, str] | None = None) -> Path:
        return make_folder(tmp_path / name, manifest, files)

    return make
