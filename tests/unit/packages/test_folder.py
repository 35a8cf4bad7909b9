"""Package folders: what is missing is named, and the hash covers what is loaded."""

from pathlib import Path

import pytest
from package_folders import MANIFEST, MakeFolder

from laneway._core.errors import ManifestInvalid, PackageUnreadable, PackageUnsuitable
from laneway.packages import open_package


def test_unit_has_absolute_paths_with_src_before_vendor(
    folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(files={"vendor/dep.py": ""})
    monkeypatch.chdir(root.parent)
    unit = open_package("shop").unit()
    assert unit.paths == (str(root / "src"), str(root / "vendor"))
    assert unit.entry == "shop_tasks"
    assert unit.kind == "package"
    assert unit.name == "shop 1.0"
    assert unit.key.startswith("package:shop@1.0:")


def test_folder_without_vendor_has_one_path(folder: MakeFolder) -> None:
    assert len(open_package(folder()).unit().paths) == 1


@pytest.mark.parametrize(
    "change", ["src/shop_tasks.py", "vendor/dep.py", "src/data.txt", "src/sourceless.pyc"]
)
def test_any_loaded_file_changes_the_hash(change: str, folder: MakeFolder) -> None:
    root = folder(files={"vendor/dep.py": "", "src/data.txt": "a", "src/sourceless.pyc": "a"})
    before = open_package(root).content_hash
    (root / change).write_text("y = 2\n")
    assert open_package(root).content_hash != before


def test_a_renamed_file_changes_the_hash(folder: MakeFolder) -> None:
    root = folder(files={"src/a.txt": "same"})
    before = open_package(root).content_hash
    (root / "src/a.txt").rename(root / "src/b.txt")
    assert open_package(root).content_hash != before


def test_what_is_not_loaded_does_not_change_the_hash(folder: MakeFolder) -> None:
    root = folder()
    before = open_package(root)
    for path in ("src/__pycache__/shop_tasks.cpython-314.pyc", "tests/test_it.py", "README.md", ".git/HEAD"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    assert open_package(root).content_hash == before.content_hash
    assert open_package(root).unit().key == before.unit().key


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nothing", "there is nothing at"),
        ("file", "it is empty"),
        ("empty", "has no laneway.toml"),
    ],
)
def test_what_is_no_package_is_refused_with_the_next_step(name: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match=match):
        open_package(tmp_path / name)


def test_a_folder_with_a_similar_name_is_suggested(folder: MakeFolder) -> None:
    root = folder("word-counter")
    with pytest.raises(PackageUnreadable, match="Did you mean 'word-counter'"):
        open_package(root.parent / "wordcounter")


def test_missing_src_is_named(folder: MakeFolder) -> None:
    root = folder()
    (root / "src").rename(root / "source")
    with pytest.raises(PackageUnreadable, match="there is no folder src/"):
        open_package(root)


def test_missing_entry_module_is_named_with_the_nearest(folder: MakeFolder) -> None:
    root = folder(manifest=MANIFEST.replace("shop_tasks", "shop_task"))
    with pytest.raises(PackageUnreadable, match="Did you mean 'shop_tasks'"):
        open_package(root)


@pytest.mark.parametrize("path", ["src/shop/tasks.py", "src/shop/tasks/__init__.py"])
def test_entry_module_may_lie_in_a_package(path: str, folder: MakeFolder) -> None:
    root = folder(manifest=MANIFEST.replace("shop_tasks", "shop.tasks"), files={path: ""})
    assert open_package(root).unit().entry == "shop.tasks"


def test_python_that_does_not_fit_is_refused(folder: MakeFolder) -> None:
    with pytest.raises(PackageUnsuitable, match="requires Python"):
        open_package(folder(manifest=MANIFEST + 'requires-python = "<3.14"\n'))


def test_mistakes_in_the_manifest_name_the_file(folder: MakeFolder) -> None:
    with pytest.raises(ManifestInvalid, match=r"shop/laneway\.toml: 1 problem"):
        open_package(folder(manifest=MANIFEST + "x = 1\n"))


def test_links_are_refused(folder: MakeFolder) -> None:
    root = folder()
    (root / "src/secret.txt").symlink_to("/etc/hostname")
    with pytest.raises(PackageUnreadable, match="is a link"):
        open_package(root)


def test_folder_may_be_reached_through_a_link(folder: MakeFolder) -> None:
    root = folder()
    (root.parent / "link").symlink_to(root)
    assert open_package(root.parent / "link").root == root
