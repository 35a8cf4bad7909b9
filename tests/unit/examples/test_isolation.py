"""The twin packages of the isolation example, and the script that fills their vendor folders."""

import hashlib
import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "isolation"


@pytest.fixture
def vendor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("isolation_vendor", EXAMPLE / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "vendor.lock").write_text("thing==1 --hash=sha256:00\n", encoding="utf-8")
    return folder


def cached(cache: Path, package: Path) -> Path:
    key = hashlib.sha256((package / "vendor.lock").read_bytes()).hexdigest()[:32]
    (cache / key).mkdir(parents=True)
    (cache / key / "thing.py").write_text("x = 1\n", encoding="utf-8")
    return cache


def test_the_twins_share_a_module_name_and_lock_different_versions() -> None:
    manifests = [
        tomllib.loads((EXAMPLE / name / "laneway.toml").read_text(encoding="utf-8"))
        for name in ("sizes_old", "sizes_new")
    ]
    modules = {manifest["package"]["entry_module"] for manifest in manifests}
    versions = {manifest["dependencies"]["humanize"] for manifest in manifests}
    assert (len(modules), len(versions)) == (1, 2)
    for name, manifest in zip(("sizes_old", "sizes_new"), manifests, strict=True):
        lock = (EXAMPLE / name / "vendor.lock").read_text(encoding="utf-8")
        assert lock.startswith(f"humanize{manifest['dependencies']['humanize']}")
        assert "--hash=sha256:" in lock
    assert (
        len({(EXAMPLE / name / "src" / "sizes.py").read_bytes() for name in ("sizes_old", "sizes_new")}) == 1
    )


def test_vendor_folders_are_filled_from_the_cache_without_a_network(
    vendor: ModuleType, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached(tmp_path / "cache", package)
    monkeypatch.setattr(vendor, "_installer", lambda: pytest.fail("fetched although it was in the cache"))
    assert vendor.fill(package, cache=cache) is True
    assert (package / "vendor" / "thing.py").is_file()
    assert vendor.fill(package, cache=cache) is False


def test_a_changed_lock_replaces_the_vendor_folder(vendor: ModuleType, package: Path, tmp_path: Path) -> None:
    cache = cached(tmp_path / "cache", package)
    vendor.fill(package, cache=cache)
    (package / "vendor" / "left-over.py").touch()
    (package / "vendor.lock").write_text("thing==2 --hash=sha256:00\n", encoding="utf-8")
    cached(cache, package)
    assert vendor.fill(package, cache=cache) is True
    assert [path.name for path in (package / "vendor").iterdir()] == ["thing.py"]


def test_a_failed_fetch_says_what_to_do_and_leaves_nothing(
    vendor: ModuleType, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "_installer", lambda: ["false"])
    with pytest.raises(vendor.VendorFailed, match="package: its dependencies could not be fetched"):
        vendor.fill(package, cache=tmp_path / "cache")
    assert not (package / "vendor").exists()
    assert list((tmp_path / "cache").iterdir()) == []
