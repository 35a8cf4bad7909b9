"""Real packages with real libraries for the tests that need them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import lacking

from laneway.packages import PackageCache
from laneway.packages.opening import default_cache

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def uv() -> Path:
    """uv from the search path, or the one that set-up keeps in the project."""
    found = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    if not os.access(found, os.X_OK):
        lacking("uv is not on this machine")
    return Path(found)


@pytest.fixture
def cache(tmp_path: Path) -> PackageCache:
    return PackageCache(tmp_path / "cache")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The default cache is one of the test's own, as another user would have."""
    default_cache.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "laneway" / "packages"
    default_cache.cache_clear()
