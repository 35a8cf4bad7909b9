"""The manifest and the shape of the package folders that tests make."""

from collections.abc import Callable
from pathlib import Path

MANIFEST = '[package]\nname = "shop"\nversion = "1.0"\nentry_module = "shop_tasks"\n'

type MakeFolder = Callable[..., Path]


def make_folder(root: Path, manifest: str = MANIFEST, files: dict[str, str] | None = None) -> Path:
    """A package folder in `root`; `files` are texts by path, besides an entry module."""
    for path, text in ({"src/shop_tasks.py": "x = 1\n"} | (files or {})).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    (root / "laneway.toml").write_text(manifest, encoding="utf-8")
    return root
