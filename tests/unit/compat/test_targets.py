"""What `laneway compat` can be told, and what it makes of it."""

from pathlib import Path

import pytest

from laneway.compat._native import is_native, module_of
from laneway.compat.errors import TargetUnreadable
from laneway.compat.wanted import wanted_from

PROJECT = """\
[project]
name = "shop"
requires-python = ">=3.12"
dependencies = ["rich>=13", "numpy; sys_platform == 'never'"]

[project.optional-dependencies]
fast = ["msgspec"]
all = ["shop[fast]", "click"]

[dependency-groups]
lint = ["ruff"]
dev = [{include-group = "lint"}, "pytest"]
"""

UV_LOCK = """\
version = 1

[[package]]
name = "shop"
version = "1.0"
source = { editable = "." }

[[package]]
name = "rich"
version = "15.0.0"
source = { registry = "somewhere" }
"""

PYLOCK = """\
lock-version = "1.0"
created-by = "test"

[[packages]]
name = "rich"
version = "15.0.0"

[[packages]]
name = "colorama"
version = "0.4"
marker = "sys_platform == 'win32'"
"""


def test_nothing_means_this_environment() -> None:
    assert wanted_from([]).kind == "environment"


def test_names_may_carry_versions() -> None:
    wanted = wanted_from(["numpy>=2", "Rich"])
    assert wanted.kind == "names"
    assert wanted.direct == {"numpy", "rich"}


def test_a_requirements_file_may_include_others_and_have_options_hashes_and_comments(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("click\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# all\n--find-links somewhere\nrich==15.0.0 \\\n    --hash=sha256:abc\n-r more.txt\nattrs # why\n"
    )
    assert wanted_from([str(file)]).direct == {"rich", "click", "attrs"}


@pytest.mark.parametrize(
    ("extras", "groups", "direct"),
    [
        ((), (), {"rich"}),
        (("fast",), (), {"rich", "msgspec"}),
        (("all",), (), {"rich", "msgspec", "click"}),
        ((), ("dev",), {"rich", "ruff", "pytest"}),
    ],
)
def test_a_project_has_extras_groups_and_markers(
    tmp_path: Path, extras: tuple[str, ...], groups: tuple[str, ...], direct: set[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    for target in (tmp_path, tmp_path / "pyproject.toml"):
        wanted = wanted_from([str(target)], extras=extras, groups=groups)
        assert wanted.kind == "project"
        assert wanted.direct == direct


def test_an_extra_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    with pytest.raises(TargetUnreadable, match=r"no extra 'speed'.*It has all, fast"):
        wanted_from([str(tmp_path)], extras=["speed"])


def test_lock_files_name_exact_versions_without_the_project_itself(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(UV_LOCK)
    (tmp_path / "pylock.toml").write_text(PYLOCK)
    assert wanted_from([str(tmp_path / "uv.lock")]).requirements == ("rich==15.0.0",)
    assert wanted_from([str(tmp_path / "pylock.toml")]).requirements == ("rich==15.0.0", "colorama==0.4")


def test_a_package_folder_is_told_from_a_project(tmp_path: Path) -> None:
    (tmp_path / "laneway.toml").write_text("")
    assert wanted_from([str(tmp_path)]).kind == "package"
    assert wanted_from(["some.lane"]).kind == "package"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("missing/requirements.txt", "no such file"),
        ("==3", "neither a file nor a requirement"),
        (".", "a folder without"),
    ],
)
def test_what_is_no_target_is_explained(
    target: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetUnreadable, match=reason):
        wanted_from([target])


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("pkg/_core.cpython-314-x86_64-linux-gnu.so", "pkg._core"),
        ("pkg/_core.cpython-315t-x86_64-linux-gnu.so", "pkg._core"),
        ("pkg/_core.abi3.so", "pkg._core"),
        ("pkg/_core.abi3t.so", "pkg._core"),
        ("pkg/__init__.cpython-314-x86_64-linux-gnu.so", "pkg"),
        ("_top.so", "_top"),
        ("pkg.libs/libz-123.so", None),
        ("pkg/libz.so.1", None),
        ("pkg/data-file.so", None),
    ],
)
def test_native_files_are_modules_of_any_interpreter_or_plain_libraries(
    path: str, module: str | None
) -> None:
    assert is_native(path)
    assert module_of(path) == module
