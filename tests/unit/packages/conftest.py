"""Packages made on the spot for the tests of the package reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

MANIFEST = '[package]\nname = "shop"\nversion = "1.0"\nentry_module = "shop_tasks"\n'

type MakeFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> MakeFolder:
    """Makes a package folder; keyword `manifest` is its text, `files` are further files by path."""

    def make(name: str = "shop", *, manifest: str = MANIFEST, files: dict[str, str] | None = None) -> Path:
        root = tmp_path / name
        for path, text in ({"src/shop_tasks.py": "x = 1\n"} | (files or {})).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        (root / "laneway.toml").write_text(manifest, encoding="utf-8")
        return root

    return make
