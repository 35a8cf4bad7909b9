"""Signatures, trust, and installed packages."""

import builtins
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from package_folders import MANIFEST, MakeFolder

from laneway._core.errors import (
    PackageNotInstalled,
    PackageUnreadable,
    SignatureRefused,
    SigningUnavailable,
)
from laneway.packages import PackageCache, Trust, build_archive, open_package
from laneway.packages._record import record_text
from laneway.packages.shelf import Shelf
from laneway.packages.signing import new_key, read_public_key, sign_record, trusted

type Build = Callable[..., Path]


@pytest.fixture
def build(folder: MakeFolder, tmp_path: Path) -> Build:
    def make(
        name: str = "shop", version: str = "1.0", *, keys: tuple[Path, ...] = (), text: str = "x = 1\n"
    ) -> Path:
        manifest = MANIFEST.replace('"shop"', f'"{name}"').replace('"1.0"', f'"{version}"')
        package = open_package(
            folder(f"{name}-{version}", manifest=manifest, files={"src/shop_tasks.py": text})
        )
        signature = b""
        for key in keys:
            signature = sign_record(record_text(package.files).encode(), key, existing=signature)
        target = tmp_path / f"{name}-{version}.lane"
        build_archive(package, target, signature=signature)
        return target

    return make


def test_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(PackageUnreadable, match="is there already"):
        new_key(tmp_path / "key")


def test_public_key_is_read_from_its_text_and_from_its_file(tmp_path: Path) -> None:
    key = new_key(tmp_path / "key", name="Ada")
    assert read_public_key(key.text()) == key
    assert read_public_key(str(tmp_path / "key.pub")) == key
    for wrong in ("lane-ed25519:xyz", "lane-ed25519:" + "A" * 1000, "no such file", "a\0b"):
        with pytest.raises(PackageUnreadable):
            read_public_key(wrong)


def test_signature_by_a_trusted_key_is_named(build: Build, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key", name="Ada")
    strict = Trust(keys=(key,), allow_unsigned=False)
    opened = open_package(
        build(keys=(tmp_path / "key",)), cache=PackageCache(tmp_path / "cache"), trust=strict
    )
    assert opened.signature == ("trusted", "Ada")


def test_one_trusted_key_among_several_is_enough(build: Build, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    key = new_key(tmp_path / "key")
    archive = build(keys=(tmp_path / "other", tmp_path / "key", tmp_path / "key"))
    strict = trusted([key.text()], allow_unsigned=False)
    opened = open_package(archive, cache=PackageCache(tmp_path / "cache"), trust=strict)
    assert opened.signature == ("trusted", "key")


def test_unknown_key_is_refused_where_trust_is_needed_and_shown_where_not(
    build: Build, tmp_path: Path
) -> None:
    known, unknown = new_key(tmp_path / "known"), new_key(tmp_path / "unknown")
    archive = build(keys=(tmp_path / "unknown",))
    cache = PackageCache(tmp_path / "cache")
    with pytest.raises(SignatureRefused, match=unknown.fingerprint):
        open_package(archive, cache=cache, trust=Trust(keys=(known,), allow_unsigned=False))
    assert open_package(archive, cache=cache).signature == ("unknown key", unknown.fingerprint)


def test_unsigned_package_is_refused_where_signatures_are_needed(
    build: Build, folder: MakeFolder, tmp_path: Path
) -> None:
    strict = Trust(keys=(new_key(tmp_path / "key"),), allow_unsigned=False)
    with pytest.raises(SignatureRefused, match="not signed"):
        open_package(build(), cache=PackageCache(tmp_path / "cache"), trust=strict)
    with pytest.raises(SignatureRefused, match="not signed"):
        open_package(folder(), trust=strict)
    assert not (tmp_path / "cache").exists()


def test_signature_is_checked_again_at_every_load(build: Build, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key")
    cache, strict = PackageCache(tmp_path / "cache"), Trust(keys=(key,), allow_unsigned=False)
    good = build(keys=(tmp_path / "key",))
    open_package(good, cache=cache, trust=strict)
    package = open_package(good, cache=cache)
    other = sign_record(b"something else", tmp_path / "key")
    build_archive(package, good, signature=other)
    with pytest.raises(SignatureRefused, match="does not fit"):
        open_package(good, cache=cache, trust=strict)


def test_signed_folder_is_refused_once_it_changed(folder: MakeFolder, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key")
    root = folder()
    record = record_text(open_package(root).files).encode()
    (root / "SIGNATURE").write_bytes(sign_record(record, tmp_path / "key"))
    assert open_package(root, trust=Trust(keys=(key,), allow_unsigned=False)).signature.status == "trusted"
    (root / "src/shop_tasks.py").write_text("evil = 1\n")
    with pytest.raises(SignatureRefused, match="does not fit"):
        open_package(root)


def test_missing_cryptography_says_what_to_install(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(tmp_path / "key")
    archive = build(keys=(tmp_path / "key",))
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if "_ed25519" in (arguments[2] or () if len(arguments) > 2 else ()):
            raise ImportError("No module named 'cryptography'")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    cache = PackageCache(tmp_path / "cache")
    assert open_package(archive, cache=cache).signature.status == "unchecked"
    with pytest.raises(SigningUnavailable, match=r"pip install 'laneway\[sign\]'"):
        open_package(archive, cache=cache, trust=Trust(keys=(key,), allow_unsigned=False))


def test_installed_packages_are_found_by_name_and_version(build: Build, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    for version in ("1.2.0", "1.2.9", "1.2.10", "1.3", "2.0rc1"):
        shelf.install(build(version=version))
    assert shelf.find("shop").version == "1.3"
    assert shelf.find("Shop@1.2").version == "1.2.10"
    assert shelf.find("shop@1.2.9").version == "1.2.9"
    assert shelf.find("shop@2.0rc1").version == "2.0rc1"
    assert [one.version for one in shelf.listed()] == ["1.2.0", "1.2.9", "1.2.10", "1.3", "2.0rc1"]
    with pytest.raises(PackageNotInstalled, match="Did you mean 'shop'"):
        shelf.find("shopp")
    with pytest.raises(PackageNotInstalled, match=r"There are 1\.2\.0"):
        shelf.find("shop@3")


def test_installing_again_is_quiet_and_other_content_needs_replace(build: Build, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    first = shelf.install(build())
    assert shelf.install(build()) == first
    with pytest.raises(PackageUnreadable, match="other content"):
        shelf.install(build(text="x = 2\n"))
    assert shelf.install(build(text="x = 2\n"), replace=True).content_hash != first.content_hash


def test_damaged_file_is_listed_with_its_problem_and_can_be_removed(build: Build, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    shelf.install(build()).path.write_bytes(b"damaged")
    assert "not-zstd" in shelf.listed()[0].problem
    shelf.remove("shop")
    assert shelf.listed() == []
    assert [*(tmp_path / "shelf").iterdir()] == []
