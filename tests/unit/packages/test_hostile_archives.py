"""Hostile and broken archives are refused by name, and leave nothing behind."""

import os
import resource
import stat
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import hostile_packages as hostile
import pytest

from laneway._core.errors import ArchiveRefused, ManifestInvalid, PackageUnreadable, SignatureRefused
from laneway.packages import PackageCache, Trust, open_package, verify_archive
from laneway.packages.signing import new_key, sign_record

CASES = hostile.archive_cases()
_MOST_SECONDS = 5.0
_MOST_BYTES = 48 << 20


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Path]:
    """A folder for one archive and its cache; whatever the test does, nothing else may appear beside them."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    yield inner
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b"]
    assert {path.name for path in inner.iterdir()} <= {"evil.lane", "cache", "key", "key.pub"}


def _left(cache: Path) -> list[str]:
    return [str(path.relative_to(cache)) for path in cache.rglob("*")] if cache.exists() else []


def test_there_are_at_least_sixty_cases_and_each_has_its_own_name() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_archive_that_the_cases_are_made_from_is_accepted(around: Path) -> None:
    (around / "evil.lane").write_bytes(hostile.good())
    package = open_package(around / "evil.lane", cache=PackageCache(around / "cache"))
    assert (package.root / "src/shop_tasks.py").read_bytes() == b"x = 1\n"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_hostile_archive_is_refused_by_name_and_leaves_nothing(case: hostile.Case, around: Path) -> None:
    archive = around / "evil.lane"
    archive.write_bytes(case.content)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(ArchiveRefused) as caught:
            open_package(archive, cache=PackageCache(around / "cache"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.rule == case.rule
    assert "evil.lane" in str(caught.value)
    assert str(caught.value).isprintable()
    assert time.process_time() - started < _MOST_SECONDS
    assert peak < _MOST_BYTES
    assert _left(around / "cache") == []
    with pytest.raises(ArchiveRefused):
        verify_archive(archive)


def test_wrong_signature_is_refused_even_where_unsigned_packages_run(around: Path) -> None:
    new_key(around / "key")
    for case in hostile.signature_cases(lambda record: sign_record(record, around / "key")):
        (around / "evil.lane").write_bytes(case.content)
        with pytest.raises((SignatureRefused, ArchiveRefused)) as caught:
            open_package(around / "evil.lane", cache=PackageCache(around / "cache"), trust=Trust())
        if case.rule != "signature":
            assert getattr(caught.value, "rule", "") == case.rule
        assert _left(around / "cache") == [], case.name


MANIFESTS = {
    "unknown key": (b'[package]\nnmae = "x"\n', "did you mean 'name'"),
    "unknown table": (hostile.MANIFEST + b"[polcy]\n", "did you mean 'policy'"),
    "wrong type": (
        b'[package]\nname = 3\nversion = "1"\nentry_module = "a"\n',
        "line 2: package.name must be text",
    ),
    "huge integer": (
        hostile.MANIFEST + b"[limits]\nmemory_mib = 99999999999999999999\n",
        "memory_mib must be from",
    ),
    "integer of 5,000 digits": (b"a = " + b"9" * 5000, "too large"),
    "invalid UTF-8": (b'[package]\nname = "\xff"\n', "line 2: byte 0xff is not UTF-8"),
    "not TOML": (b"<html>", "not TOML"),
    "NUL byte": (b'a = "\0"', "not TOML"),
    "duplicate key": (b'[package]\nname = "a"\nname = "b"\n', "not TOML"),
    "deep nesting": (b"a = " + b"[" * 100_000, "not TOML"),
    "deep dotted key": (b"a" + b".a" * 100_000 + b" = 1", "not TOML"),
    "empty": (b"", "needs the key 'package'"),
    "path as entry module": (hostile.MANIFEST.replace(b"shop_tasks", b"../evil"), "must be a module name"),
    "entry module of the library": (
        hostile.MANIFEST.replace(b"shop_tasks", b"os"),
        "belongs to the standard library",
    ),
    "entry module of Laneway": (
        hostile.MANIFEST.replace(b"shop_tasks", b"laneway.app"),
        "belongs to Laneway",
    ),
    "path as name": (hostile.MANIFEST.replace(b'"shop"', b'"../shop"'), "package.name must be letters"),
    "version that is none": (hostile.MANIFEST.replace(b'"1.0"', b'"latest"'), "is not a version"),
    "control characters": (
        hostile.MANIFEST.replace(b'"shop"', b'"sh\\u001bop"'),
        "cannot be printed",
    ),
    "infinite limit": (
        hostile.MANIFEST + b"[limits]\nwall_seconds = inf\n",
        "wall_seconds must be more than 0",
    ),
    "limit that is no number": (
        hostile.MANIFEST + b"[limits]\nwall_seconds = nan\n",
        "wall_seconds must be more than 0",
    ),
    "true for a number": (hostile.MANIFEST + b"[limits]\nconcurrency = true\n", "a whole number, not true"),
    "URL as dependency": (
        hostile.MANIFEST + b'[dependencies]\n"a @ file:///x" = "*"\n',
        "must be a name alone",
    ),
    "option as dependency": (
        hostile.MANIFEST + b'[dependencies]\n"--index-url" = "*"\n',
        "is not the name of",
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_hostile_manifest_is_refused_with_its_place_and_leaves_nothing(name: str, around: Path) -> None:
    manifest, expected = MANIFESTS[name]
    record = hostile.record_of({"laneway.toml": manifest} | hostile.FILES)
    body = hostile.entry("src/shop_tasks.py", hostile.FILES["src/shop_tasks.py"])
    tar = hostile.head(hostile.FILES, record=record, manifest=manifest) + body
    (around / "evil.lane").write_bytes(hostile.packed(tar))
    with pytest.raises(ManifestInvalid) as caught:
        open_package(around / "evil.lane", cache=PackageCache(around / "cache"))
    assert expected in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert _left(around / "cache") == []


def test_what_is_not_a_regular_file_is_refused_without_waiting_for_it(around: Path) -> None:
    os.mkfifo(around / "evil.lane")
    with pytest.raises(ArchiveRefused, match="not-a-file"):
        verify_archive(around / "evil.lane")
    (around / "evil.lane").unlink()
    with pytest.raises(ArchiveRefused, match="not-a-file"):
        verify_archive(Path("/dev/zero"))


def test_package_that_hides_laneway_is_refused(around: Path) -> None:
    files = hostile.FILES | {"vendor/laneway/__init__.py": b""}
    (around / "evil.lane").write_bytes(hostile.archive(files))
    with pytest.raises(PackageUnreadable, match="would hide Laneway"):
        open_package(around / "evil.lane", cache=PackageCache(around / "cache"))
    assert _left(around / "cache") == []


def test_disk_that_fills_during_extraction_leaves_nothing(around: Path) -> None:
    data = os.urandom(1 << 20)
    files = hostile.FILES | {"src/zz_big.bin": data}
    (around / "evil.lane").write_bytes(hostile.archive(files))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, hard))
    try:
        with pytest.raises(PackageUnreadable, match="cannot be extracted"):
            open_package(around / "evil.lane", cache=PackageCache(around / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _left(around / "cache") == []


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_modes_of_extracted_files_do_not_depend_on_the_umask(mask: int, around: Path) -> None:
    (around / "evil.lane").write_bytes(hostile.good())
    before = os.umask(mask)
    try:
        package = open_package(around / "evil.lane", cache=PackageCache(around / "cache"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((package.root / "src").stat().st_mode) == 0o755
    assert stat.S_IMODE((package.root / "src/shop_tasks.py").stat().st_mode) == 0o644
