"""Archives are reproducible; extracted trees are shared, verified, held and removed."""

import hashlib
import multiprocessing
import os
import threading
from compression import zstd
from pathlib import Path

import hostile_packages as hostile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from package_folders import MakeFolder

from laneway._core.errors import ArchiveRefused, PackageError, PackageInUse, PackageUnreadable
from laneway.packages import Package, PackageCache, Trust, build_archive, open_package, verify_archive

LONG = "d" * 90


@pytest.fixture
def package(folder: MakeFolder) -> Package:
    return open_package(
        folder(
            "Läden & mehr",
            files={
                "src/ünï.txt": "hi",
                "src/empty": "",
                f"src/{LONG}/{LONG}/{LONG}.txt": "deep",
                "vendor/d.py": "1",
            },
        )
    )


@pytest.fixture
def archive(package: Package, tmp_path: Path) -> Path:
    target = tmp_path / "shop.lane"
    build_archive(package, target)
    return target


def test_same_files_give_the_same_bytes_wherever_and_whenever(
    package: Package, archive: Path, tmp_path: Path, folder: MakeFolder
) -> None:
    copy = tmp_path / "elsewhere"
    for one in package.files:
        (copy / one.path).parent.mkdir(parents=True, exist_ok=True)
        (copy / one.path).write_bytes((package.root / one.path).read_bytes())
        (copy / one.path).chmod(0o700)
        os.utime(copy / one.path, (1, 1))
    before = os.umask(0o077)
    try:
        build_archive(open_package(copy), tmp_path / "other.lane")
    finally:
        os.umask(before)
    assert (tmp_path / "other.lane").read_bytes() == archive.read_bytes()


def test_archive_and_folder_have_one_hash_and_one_key(
    package: Package, archive: Path, tmp_path: Path
) -> None:
    opened = open_package(archive, cache=PackageCache(tmp_path / "cache"))
    assert opened.content_hash == package.content_hash
    assert opened.unit().key == package.unit().key
    assert verify_archive(archive).files == package.files
    assert (opened.root / f"src/{LONG}/{LONG}/{LONG}.txt").read_text() == "deep"
    assert opened.archive == archive


def test_archive_is_a_tar_that_other_tools_can_read(archive: Path) -> None:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(archive.read_bytes()))) as tar:
        names = tar.getnames()
    assert names[:2] == ["laneway.toml", "RECORD"]
    assert "src/ünï.txt" in names


def test_building_refuses_names_that_no_archive_may_have(folder: MakeFolder, tmp_path: Path) -> None:
    root = folder(files={"src/a.txt": "", "src/A.txt": ""})
    with pytest.raises(ArchiveRefused, match="case-collision"):
        build_archive(open_package(root), tmp_path / "x.lane")
    assert not (tmp_path / "x.lane").exists()


def test_file_that_changed_after_opening_fails_the_build(package: Package, tmp_path: Path) -> None:
    (package.root / "src/empty").write_text("more")
    with pytest.raises(PackageUnreadable, match="changed while it was packed"):
        build_archive(package, tmp_path / "x.lane")
    assert [path.name for path in tmp_path.glob("*.lane")] == []
    assert [path.name for path in tmp_path.glob(".laneway-*")] == []


def test_tree_is_extracted_once_and_shared(archive: Path, tmp_path: Path) -> None:
    first = open_package(archive, cache=PackageCache(tmp_path / "cache"))
    inode = (first.root / "src/empty").stat().st_ino
    second = open_package(archive, cache=PackageCache(tmp_path / "cache"))
    assert second.root == first.root
    assert (second.root / "src/empty").stat().st_ino == inode


def test_changed_tree_is_never_loaded_and_its_user_keeps_it(archive: Path, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    first = open_package(archive, cache=cache)
    (first.root / "src/shop_tasks.py").write_text("evil = 1\n")
    second = open_package(archive, cache=cache)
    assert second.root != first.root
    assert (second.root / "src/shop_tasks.py").read_text() == "x = 1\n"
    assert first.root.exists()


def test_changed_tree_that_nobody_uses_is_replaced(archive: Path, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    first = open_package(archive, cache=cache)
    (first.root / "src/extra.py").write_text("evil = 1\n")
    assert first.hold is not None
    first.hold.close()
    second = open_package(archive, cache=cache)
    assert second.root == first.root
    assert not (second.root / "src/extra.py").exists()


def test_byte_code_of_signed_packages_is_made_anew(archive: Path, tmp_path: Path) -> None:
    from laneway.packages._record import record_text
    from laneway.packages.signing import new_key, sign_record

    key = new_key(tmp_path / "key")
    opened = open_package(archive, cache=PackageCache(tmp_path / "cache"))
    signature = sign_record(record_text(opened.files).encode(), tmp_path / "key")
    build_archive(opened, tmp_path / "signed.lane", signature=signature)
    planted = opened.root / "src/__pycache__/shop_tasks.cpython-314.pyc"
    planted.parent.mkdir()
    planted.write_bytes(b"evil")
    strict = Trust(keys=(key,), allow_unsigned=False)
    again = open_package(tmp_path / "signed.lane", cache=PackageCache(tmp_path / "cache"), trust=strict)
    assert again.root == opened.root
    assert not planted.exists()


def test_byte_code_is_made_once_where_it_is_worth_it(folder: MakeFolder, tmp_path: Path) -> None:
    large = "def f(x):\n    return x + 1\n" * 4000
    package = open_package(folder(files={"src/large.py": large, "src/broken.py": "def (:\n"}))
    build_archive(package, tmp_path / "large.lane")
    cache = PackageCache(tmp_path / "cache")
    opened = open_package(tmp_path / "large.lane", cache=cache)
    (made,) = opened.root.glob("src/__pycache__/large.*.pyc")
    before = made.stat().st_mtime_ns
    again = open_package(tmp_path / "large.lane", cache=cache)
    assert again.root == opened.root
    assert made.stat().st_mtime_ns == before
    assert [*opened.root.glob("src/__pycache__/broken*")] == []


def test_cache_that_everybody_may_write_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PackageUnreadable, match="everybody may write there"):
        open_package(archive, cache=PackageCache(tmp_path / "open"))


def test_removal_waits_for_users(archive: Path, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    opened = open_package(archive, cache=cache)
    with pytest.raises(PackageInUse, match="still uses its files"):
        cache.remove(opened.content_hash)
    assert (opened.root / "src/shop_tasks.py").exists()
    assert opened.hold is not None
    release = threading.Thread(target=opened.hold.close)
    waiting = threading.Thread(target=cache.remove, args=(opened.content_hash,), kwargs={"wait_seconds": 30})
    waiting.start()
    release.start()
    waiting.join()
    release.join()
    assert [*(tmp_path / "cache").iterdir()] == []


def test_hold_ends_with_its_package(archive: Path, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    opened = open_package(archive, cache=cache)
    content = opened.content_hash
    del opened
    import gc

    gc.collect()
    assert cache.remove(content) == 1


def _open_and_report(archive: str, cache: str, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]  # a multiprocessing barrier
    package = open_package(archive, cache=PackageCache(Path(cache)))
    results.put((str(package.root), (package.root / "src/shop_tasks.py").read_text()))  # type: ignore[attr-defined]


def test_engines_that_extract_at_one_time_share_one_tree(archive: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (str(archive), str(tmp_path / "cache"), barrier, results)
    workers = [context.Process(target=_open_and_report, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = {results.get(timeout=30) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(found) == 1
    left = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert left == ["", ".lock"]


def _die_while_extracting(archive: str, cache: str) -> None:
    from laneway.packages import cache as module

    def extract_and_die(path: Path, into: Path, **_: object) -> None:
        (into / "half.txt").write_text("half")
        os._exit(9)

    setattr(module, "extract_archive", extract_and_die)  # noqa: B010 - dies in the middle
    open_package(archive, cache=PackageCache(Path(cache)))


def test_what_a_killed_process_left_is_swept_by_the_next(archive: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_die_while_extracting, args=(str(archive), str(tmp_path / "cache")))
    worker.start()
    worker.join()
    assert worker.exitcode == 9
    assert [path.name for path in (tmp_path / "cache").glob("staging-*") if path.is_dir()] != []
    opened = open_package(archive, cache=PackageCache(tmp_path / "cache"))
    assert [*(tmp_path / "cache").glob("staging-*")] == []
    assert opened.root.is_dir()


def test_trees_that_nobody_took_for_long_are_pruned(archive: Path, package: Package, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    opened = open_package(archive, cache=cache)
    assert cache.prune(0) == 0
    assert opened.hold is not None
    opened.hold.close()
    assert cache.prune() == 0
    lock = opened.root.with_name(f"{opened.root.name}.lock")
    os.utime(lock, (1, 1))
    other = open_package(_other(package, tmp_path), cache=PackageCache(tmp_path / "cache"))
    assert not opened.root.exists()
    assert not lock.exists()
    assert other.root.exists()


def _other(package: Package, tmp_path: Path) -> Path:
    (package.root / "src/empty").write_text("not now")
    build_archive(open_package(package.root), tmp_path / "other.lane")
    return tmp_path / "other.lane"


def test_hold_that_was_closed_is_not_given_again(archive: Path, tmp_path: Path) -> None:
    keeper = PackageCache(tmp_path / "cache", keeps=True)
    first = open_package(archive, cache=keeper)
    assert first.hold is not None
    first.hold.close()
    second = open_package(archive, cache=keeper)
    assert second.hold is not None
    assert second.hold.is_open


def test_kept_packages_stay_until_the_cache_is_closed(archive: Path, tmp_path: Path) -> None:
    keeper = PackageCache(tmp_path / "cache", keeps=True)
    content = open_package(archive, cache=keeper).content_hash
    with pytest.raises(PackageInUse):
        PackageCache(tmp_path / "cache").remove(content)
    keeper.close()
    assert PackageCache(tmp_path / "cache").remove(content) == 1


GOOD = hostile.good()


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path, position: int, flip: int) -> None:
    content = bytearray(GOOD)
    content[position] ^= flip
    (tmp_path / "x.lane").write_bytes(content)
    try:
        head = verify_archive(tmp_path / "x.lane")
    except PackageError:
        return
    record = hostile.record_of({"laneway.toml": hostile.MANIFEST} | hostile.FILES)
    assert head.content_hash == hashlib.sha256(record).hexdigest()
