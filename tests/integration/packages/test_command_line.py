"""`laneway package` as users run it: each command, `--json`, exit status; offline, odd paths, read-only home."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner
from parts import lacking

from laneway.cli._main import laneway
from laneway.packages import PackageCache, Trust, build_archive, open_package, read_manifest
from laneway.packages._record import record_text
from laneway.packages.opening import default_cache
from laneway.packages.signing import new_key, sign_record
from laneway.packages.vendoring import vendor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NOWHERE = "http://127.0.0.1:9"


class Shell:
    """Runs `laneway` in a folder of its own, with its own home and without a network."""

    def __init__(self, folder: Path, *, home: str, umask: int | None = None) -> None:
        self.folder = folder
        self._umask = umask
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "LANEWAY_", "UV_"))
        }
        (folder / "tmp").mkdir()
        self.environment = kept | {
            "HOME": home,
            "TMPDIR": str(folder / "tmp"),
            "LANEWAY_STORE": "memory://",
            "https_proxy": NOWHERE,
            "http_proxy": NOWHERE,
            "UV_OFFLINE": "1",
        }

    def run(self, *arguments: str, status: int = 0) -> str:
        """Standard output (or standard error, where a failure is expected)."""
        if arguments[0] == "package" and self._umask is None:
            return self._run_here(arguments, status)
        done = subprocess.run(
            [sys.executable, "-m", "laneway", *arguments],
            cwd=self.folder,
            env=self.environment,
            umask=-1 if self._umask is None else self._umask,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    def _run_here(self, arguments: tuple[str, ...], status: int) -> str:
        """The same in this process, which saves starting one."""
        default_cache.cache_clear()
        with contextlib.chdir(self.folder), mock.patch.dict(os.environ, self.environment, clear=True):
            done = CliRunner().invoke(laneway, arguments)
        assert done.exit_code == status, f"{arguments}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    def json(self, *arguments: str) -> Any:
        """The object that `--json` prints."""
        return json.loads(self.run(*arguments, "--json"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "home").mkdir()
    return Shell(tmp_path, home=str(tmp_path / "home"))


def test_life_of_a_package(shell: Shell) -> None:
    made = shell.json("package", "new", "word-counter")
    assert "src/word_counter.py" in made["files"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"],
        cwd=shell.folder / "word-counter",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout
    built = shell.json("package", "build", "word-counter")
    assert built["path"].endswith("word-counter-0.1.0.lane")
    found = shell.json("package", "inspect", "word-counter-0.1.0.lane")
    assert [task["lane"] for task in found["tasks"]] == ["thread", "interpreter"]
    assert found["workflows"][0]["needs"] == {"words": [], "counts": ["words"]}
    assert found["content_hash"] == built["content_hash"]
    assert "after words" in shell.run("package", "inspect", "word-counter")

    key = shell.json("package", "sign", "word-counter-0.1.0.lane", "--new-key", "key")["public_key"]
    verified = shell.json("package", "verify", "word-counter-0.1.0.lane", "--trust", key, "--signed-only")
    assert verified["signature"] == {"status": "trusted", "signer": "key"}

    shell.environment |= {"LANEWAY_SIGNED_ONLY": "on"}
    assert "does not trust" in shell.run("run", "word-counter-0.1.0.lane", "-c", "text=a", status=2)
    assert "does not trust" in shell.run("package", "install", "word-counter-0.1.0.lane", status=2)
    shell.environment |= {"LANEWAY_TRUSTED_KEYS": key}
    assert "not signed" in shell.run("tasks", "word-counter", status=2)
    shell.run("package", "install", "word-counter-0.1.0.lane")
    (listed,) = shell.json("package", "list")["packages"]
    assert (listed["name"], listed["version"], listed["signed"]) == ("word-counter", "0.1.0", True)
    (shell.folder / "word-counter").rename(shell.folder / "gone")
    for target in ("word-counter", "word-counter@0.1.0#word-counter"):
        result = shell.json("run", target, "-c", "text=to be or not to be", "--new")
        assert result["context"]["counts"]["be"] == 2
    assert "There are 0.1.0" in shell.run("run", "word-counter@2", status=2)
    shell.run("package", "remove", "word-counter")
    assert shell.json("package", "list") == {"packages": []}
    assert [path for path in (shell.folder / "home").rglob("*") if path.is_file()] == []


def test_mistakes_end_with_status_two_and_the_next_step(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    assert "is there already" in shell.run("package", "new", "shop", status=2)
    assert "has no laneway.toml" in shell.run("package", "build", str(shell.folder), status=2)
    assert "--signed-only needs --trust" in shell.run("package", "verify", "shop", "--signed-only", status=2)
    assert "give one of --key and --new-key" in shell.run("package", "sign", "shop", status=2)
    assert "Build it first" in shell.run("package", "install", "shop", status=2)
    assert "no package of that name" in shell.run("package", "remove", "shop", status=2)
    (shell.folder / "bad.lane").write_bytes(b"PK\x03\x04")
    assert "not-zstd" in shell.run("package", "verify", "bad.lane", status=2)
    with (shell.folder / "shop/laneway.toml").open("a") as file:
        file.write("wall = 3\n[polcy]\n")
    problems = shell.run("package", "build", "shop", status=2)
    assert "did you mean 'policy'" in problems
    assert "wall_seconds" in problems


def test_inspection_of_a_package_that_cannot_be_imported_says_why(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    (shell.folder / "shop/src/shop.py").write_text("import no_such_library\n")
    found = shell.json("package", "inspect", "shop")
    assert "laneway package vendor" in found["problem"]
    assert "no_such_library" in found["problem"]
    assert found["tasks"] is None
    assert shell.json("package", "inspect", "shop", "--no-import")["problem"] == ""


def test_missing_dependency_is_told_before_it_is_missed(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    with (shell.folder / "shop/laneway.toml").open("a") as file:
        file.write('[dependencies]\nattrs = ">=25"\n')
    assert shell.json("package", "inspect", "shop")["dependencies"]["missing"] == ["attrs>=25"]
    assert shell.json("package", "build", "shop")["missing"] == ["attrs>=25"]
    shell.environment["PATH"] = str(shell.folder)
    assert "uv is not installed" in shell.run("package", "vendor", "shop", status=2)


def test_author_signs_a_changed_folder_anew_and_others_are_still_refused(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    for name in ("ada", "bob"):
        shell.run("package", "sign", "shop", "--new-key", name)
    assert len((shell.folder / "shop/SIGNATURE").read_text().splitlines()) == 2
    with (shell.folder / "shop/src/shop.py").open("a") as file:
        file.write("# changed\n")
    for command in (("tasks", "shop"), ("package", "verify", "shop"), ("package", "build", "shop")):
        assert "sign it anew" in shell.run(*command, status=2)
    shell.run("package", "vendor", "shop")
    built = shell.json("package", "build", "shop", "--key", "ada", "-o", "shop.lane")
    shell.run("package", "sign", "shop", "--key", "ada")
    for place in ("shop", "shop.lane"):
        found = shell.json("package", "verify", place, "--trust", "ada.pub", "--signed-only")
        assert (found["signature"]["status"], found["content_hash"]) == ("trusted", built["content_hash"])
    assert len((shell.folder / "shop/SIGNATURE").read_text().splitlines()) == 1, "what bob signed is gone"
    shell.run("package", "sign", "shop", "--key", "bob")
    assert len((shell.folder / "shop/SIGNATURE").read_text().splitlines()) == 2, "ada's fits and stays"


def test_package_that_is_in_use_is_named_when_it_cannot_be_removed(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    shell.run("package", "build", "shop", "-o", "shop.lane")
    shell.run("package", "install", "shop.lane")
    cache = PackageCache(shell.folder / "cache")
    used = open_package(shell.folder / "shop.lane", cache=cache)
    assert used.hold is not None
    refused = shell.run("package", "remove", "shop", "--cache", str(cache.folder), status=2)
    assert "package shop 0.1.0: an engine still uses its files" in refused
    assert len(shell.json("package", "list")["packages"]) == 1
    used.hold.close()
    shell.run("package", "remove", "shop", "--cache", str(cache.folder))
    assert cache.trees(used.content_hash) == []


def test_folder_that_is_no_package_does_not_hide_an_installed_one(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    shell.run("package", "build", "shop", "-o", "shop.lane")
    shell.run("package", "install", "shop.lane")
    shutil.rmtree(shell.folder / "shop")
    (shell.folder / "shop").mkdir()
    for target in ("shop", "shop#shop"):
        assert shell.json("tasks", target)["workflow"] == "shop"
    assert shell.json("package", "inspect", "shop")["name"] == "shop"
    shell.run("package", "remove", "shop")
    for command in (("tasks", "shop"), ("package", "inspect", "shop")):
        assert "has no laneway.toml" in shell.run(*command, status=2)


def test_package_folder_goes_before_an_installed_one_also_where_its_workflow_is_named(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    shell.run("package", "build", "shop", "-o", "shop.lane")
    shell.run("package", "install", "shop.lane")
    source = shell.folder / "shop/src/shop.py"
    source.write_text(source.read_text().replace('Workflow("shop"', 'Workflow("here"'))
    assert shell.json("tasks", "shop")["workflow"] == shell.json("tasks", "shop#here")["workflow"] == "here"
    assert "has no workflow 'shop'" in shell.run("tasks", "shop#shop", status=2)
    assert shell.json("tasks", "shop@0.1.0#shop")["workflow"] == "shop"


@pytest.mark.parametrize("name", ["json", "import", "laneway"])
def test_package_may_be_called_like_something_that_its_module_may_not(shell: Shell, name: str) -> None:
    assert f"src/{name}_tasks.py" in shell.json("package", "new", name)["files"]
    assert [task["id"] for task in shell.json("package", "inspect", name)["tasks"]] == ["words", "counts"]


def test_package_without_dependencies_is_vendored_without_uv(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    for options in ((), ("--locked",), ("--offline", "--upgrade")):
        assert shell.json("package", "vendor", "shop", "--uv", "no-uv", *options)["vendored"] == []


_UV = """#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
        dir) echo "$PWD"; exit;;
        --output-file) echo "made==1.0 --hash=sha256:00" > "$2";;
        --target) mkdir -p "$2/made-1.0.dist-info"; echo "value = 2" > "$2/made.py";;
    esac
    shift
done
"""


def _stopping(work: Callable[[Any, Any], None], at: int) -> Callable[[Any, Any], None]:
    """The same work, but the call of that number is interrupted."""
    calls = count(1)

    def stops(source: Any, target: Any) -> None:
        if next(calls) == at:
            raise KeyboardInterrupt
        work(source, target)

    return stops


def test_ctrl_c_while_dependencies_are_replaced_keeps_the_earlier_ones(tmp_path: Path) -> None:
    program = tmp_path / "uv"
    program.write_text(_UV)
    program.chmod(0o755)
    text = '[package]\nname = "shop"\nversion = "1.0"\nentry_module = "shop"\n[dependencies]\nmade = "*"\n'
    (tmp_path / "shop/vendor").mkdir(parents=True)
    (tmp_path / "shop/vendor/made.py").write_text("value = 1\n")
    (tmp_path / "shop/laneway.lock").write_text("made==0.9\n")
    before = {path: path.read_text() for path in (tmp_path / "shop").rglob("*") if path.is_file()}
    for stopped_at in (2, 3):  # of the three: the earlier ones away, the new ones there, their lock
        stops = _stopping(os.rename, stopped_at)
        with mock.patch.multiple(os, rename=stops, replace=stops), pytest.raises(KeyboardInterrupt):
            vendor(tmp_path / "shop", read_manifest(text.encode()), uv=program)
        assert {path: path.read_text() for path in (tmp_path / "shop").rglob("*") if path.is_file()} == before
    vendor(tmp_path / "shop", read_manifest(text.encode()), uv=program)
    assert (tmp_path / "shop/vendor/made.py").read_text() == "value = 2\n"


@pytest.mark.parametrize("umask", [0o077])
def test_offline_with_a_read_only_home_under_any_umask_and_in_odd_folders(
    umask: int, tmp_path: Path, uv: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path / "Bücher & Läden" / "päckchen “eins”"
    folder.mkdir(parents=True)
    root = folder / "日本 語"
    online = tmp_path_factory.mktemp("online")
    shutil.copytree(Path(__file__).parents[3] / "examples/packages/qr-labels", root, ignore=_no_vendor)
    vendored = subprocess.run(
        [sys.executable, "-m", "laneway", "package", "vendor", str(root), "--uv", str(uv), "--locked"],
        cwd=online,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    if vendored.returncode:
        lacking(f"the libraries cannot be had here: {vendored.stderr}")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (root / "vendor").rglob("*")}
    assert modes == {0o755, 0o644}

    shell = Shell(folder, home="/proc/no-home", umask=umask)
    first = shell.json("package", "build", root.name, "-o", "eins.lane")
    again = shell.json("package", "build", root.name, "-o", "zwei.lane")
    assert (folder / "eins.lane").read_bytes() == (folder / "zwei.lane").read_bytes()
    assert first["content_hash"] == again["content_hash"]
    shell.run("package", "verify", "eins.lane")
    assert shell.json("package", "inspect", "eins.lane")["tasks"][0]["lane"] == "interpreter"
    shell.run("package", "sign", "eins.lane", "--new-key", "schlüssel")
    shell.run("package", "install", "eins.lane")
    result = shell.json("run", "qr-labels@1.0", "-c", 'parcels=[{"id": "A1", "to": "Zürich"}]')
    assert "<svg" in result["context"]["sheet"]
    shell.run("package", "remove", "qr-labels")
    shell.run("package", "new", "neu")
    assert not os.path.exists("/proc/no-home")


def _no_vendor(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("vendor", "__pycache__")]


def test_archive_signed_elsewhere_keeps_its_other_signatures(shell: Shell) -> None:
    shell.run("package", "new", "shop")
    package = open_package(shell.folder / "shop")
    first = new_key(shell.folder / "first")
    signature = sign_record(record_text(package.files).encode(), shell.folder / "first")
    build_archive(package, shell.folder / "shop.lane", signature=signature)
    second = shell.json("package", "sign", "shop.lane", "--new-key", "second")["public_key"]
    for key in (first.text(), second):
        shell.run("package", "verify", "shop.lane", "--trust", key, "--signed-only")
    assert Trust().allow_unsigned
