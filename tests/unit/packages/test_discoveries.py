"""What is known of packages: found again by content and circumstances, and never where anything is odd."""

import os
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from package_folders import MANIFEST, MakeFolder

from laneway.packages import Package, Verdict, discoveries, open_package
from laneway.packages.discoveries import Circumstances, Discoveries, follows_from_content, is_lasting

HERE = Circumstances("", {"PATH": "/bin", "TZ": "UTC"})
ANSWER: dict[str, Any] = {
    "tasks": [{"id": "one", "reference": "shop_tasks:one", "doc": "Eins – 一"}],
    "workflows": [{"name": "flow", "attribute": "flow", "tasks": ["one"], "merge": {}, "doc": ""}],
    "error": None,
    "interpreter_refusal": "",
}


@pytest.fixture
def package(folder: MakeFolder) -> Package:
    return open_package(folder())


@pytest.fixture
def known(tmp_path: Path) -> Discoveries:
    return Discoveries(tmp_path / "cache" / "discovered")


def _only_file(known: Discoveries) -> Path:
    [file] = known.folder.iterdir()
    return file


def test_kept_answer_is_found_again_by_another_program(known: Discoveries, package: Package) -> None:
    assert known.find(package, HERE) is None
    assert known.keep(package, HERE, ANSWER)
    assert Discoveries(known.folder).find(package, HERE) == ANSWER
    assert [file.stat().st_mode & 0o777 for file in known.folder.iterdir()] == [0o600]
    assert known.folder.stat().st_mode & 0o777 == 0o700


def test_answer_counts_for_its_content_only(known: Discoveries, package: Package, folder: MakeFolder) -> None:
    known.keep(package, HERE, ANSWER)
    changed = open_package(folder(files={"src/shop_tasks.py": "x = 2\n"}))
    assert changed.root == package.root
    assert known.find(changed, HERE) is None
    same_elsewhere = open_package(folder("elsewhere"))
    assert same_elsewhere.content_hash == package.content_hash
    assert known.find(same_elsewhere, HERE) is None  # what it says of its files is about another place


@pytest.mark.parametrize(
    "other",
    [
        HERE._replace(no_interpreters="they are switched off"),
        HERE._replace(environment={"PATH": "/bin", "TZ": "Europe/Berlin"}),
        HERE._replace(environment={"PATH": "/bin"}),
        HERE._replace(environment={"PATH": "/bin", "TZ": "UTC", "SHOP_MODE": "test"}),
    ],
)
def test_answer_counts_for_its_circumstances_only(
    other: Circumstances, known: Discoveries, package: Package
) -> None:
    known.keep(package, HERE, ANSWER)
    assert known.find(package, other) is None
    assert known.find(package, HERE) == ANSWER


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (discoveries, "FORMAT", 999),
        (discoveries, "__version__", "99.0"),
        (sys, "version", "3.99.0 (main, another build)"),
        (sys, "flags", SimpleNamespace(optimize=2)),
    ],
)
def test_answer_counts_for_its_interpreter_and_its_laneway_only(
    owner: object,
    name: str,
    value: object,
    known: Discoveries,
    package: Package,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known.keep(package, HERE, ANSWER)
    with monkeypatch.context() as changed:
        changed.setattr(owner, name, value)
        assert known.find(package, HERE) is None
    assert known.find(package, HERE) == ANSWER


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(bytes(content))


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _of_zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _of_another_shape(file: Path) -> None:
    body = b'{"tasks": 1}'
    file.write_bytes(sha256(body).hexdigest().encode() + b"\n" + body)


def _a_link(file: Path) -> None:
    file.rename(file.parent / "elsewhere")
    file.symlink_to("elsewhere")


def _a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _huge(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)


DAMAGES = [_truncated, _flipped, _emptied, _of_zeros, _of_another_shape, _a_link, _a_pipe, _a_folder, _huge]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_counts_as_missing(
    damage: Callable[[Path], None], known: Discoveries, package: Package
) -> None:
    known.keep(package, HERE, ANSWER)
    damage(_only_file(known))
    assert known.find(package, HERE) is None
    if damage is not _a_folder:
        assert known.keep(package, HERE, ANSWER)
        assert known.find(package, HERE) == ANSWER


def test_somebody_elses_file_counts_as_missing(
    known: Discoveries, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.keep(package, HERE, ANSWER)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert known.find(package, HERE) is None


def test_folder_that_cannot_be_written_is_no_cache_and_no_error(tmp_path: Path, package: Package) -> None:
    (tmp_path / "file").write_text("not a folder")
    known = Discoveries(tmp_path / "file" / "discovered")
    assert not known.keep(package, HERE, ANSWER)
    assert known.find(package, HERE) is None
    assert known.forget(package.content_hash) == 0


def test_writing_that_fails_leaves_nothing_and_keeps_what_was_there(
    known: Discoveries, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.keep(package, HERE, ANSWER)
    before = [*known.folder.iterdir()]

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "replace", refuse)
        assert not known.keep(package, HERE, {**ANSWER, "tasks": []})
    assert [*known.folder.iterdir()] == before
    assert known.find(package, HERE) == ANSWER


def test_answer_that_cannot_be_written_or_is_huge_is_not_kept(known: Discoveries, package: Package) -> None:
    assert not known.keep(package, HERE, {**ANSWER, "tasks": [{"doc": "x" * (5 << 20)}]})
    assert not known.keep(package, HERE, {**ANSWER, "tasks": [{"doc": "\ud800"}]})
    assert not known.folder.exists() or not [*known.folder.iterdir()]


def test_writers_and_readers_at_once_see_whole_answers_only(known: Discoveries, package: Package) -> None:
    answers = [{**ANSWER, "tasks": [{"id": str(number), "doc": "x" * 50_000}]} for number in range(4)]
    wrong: list[object] = []
    ready = threading.Barrier(8)

    def write(answer: dict[str, Any]) -> None:
        ready.wait()
        for _ in range(30):
            if not known.keep(package, HERE, answer):
                wrong.append(answer)

    def read() -> None:
        ready.wait()
        for _ in range(100):
            found = known.find(package, HERE)
            if found is not None and found not in answers:
                wrong.append(found)

    threads = [threading.Thread(target=write, args=(answer,)) for answer in answers]
    threads += [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert known.find(package, HERE) in answers
    assert len([*known.folder.iterdir()]) == 1


def test_what_nobody_used_for_long_goes_and_the_rest_stays(
    known: Discoveries, package: Package, folder: MakeFolder
) -> None:
    known.keep(package, HERE, ANSWER)
    old = _only_file(known)
    used, left = known.folder / f"{'a' * 64}-used.json", known.folder / ".new-left"
    used.write_bytes(b"")
    left.write_bytes(b"half")
    for file, days in ((old, 31), (used, 29), (left, 1)):
        moment = file.stat().st_mtime - days * 86400
        os.utime(file, (moment, moment))
    other = open_package(folder("other", manifest=MANIFEST.replace('"shop"', '"other"')))
    known.keep(other, HERE, ANSWER)
    assert used in [*known.folder.iterdir()]
    assert {old, left}.isdisjoint(known.folder.iterdir())


def test_use_keeps_an_answer_from_going(known: Discoveries, package: Package, folder: MakeFolder) -> None:
    known.keep(package, HERE, ANSWER)
    file = _only_file(known)
    moment = file.stat().st_mtime - 29 * 86400
    os.utime(file, (moment, moment))
    assert known.find(package, HERE) == ANSWER
    assert file.stat().st_mtime > moment + 28 * 86400


def test_only_so_many_answers_are_kept_the_latest_ones(
    known: Discoveries, package: Package, folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discoveries, "_MOST_FILES", 3)
    packages = [open_package(folder(files={"src/shop_tasks.py": f"x = {number}\n"})) for number in range(5)]
    for age, one in enumerate(packages):
        known.keep(one, HERE, ANSWER)
        newest = max(known.folder.iterdir(), key=lambda file: file.stat().st_ctime_ns)
        os.utime(newest, (newest.stat().st_mtime - 1000 + age, newest.stat().st_mtime - 1000 + age))
    assert [known.find(one, HERE) is not None for one in packages] == [False, False, True, True, True]


def test_forgetting_takes_every_answer_about_that_content(
    known: Discoveries, package: Package, folder: MakeFolder
) -> None:
    other = open_package(folder("other", files={"src/shop_tasks.py": "x = 2\n"}))
    for circumstances in (HERE, HERE._replace(no_interpreters="off")):
        known.keep(package, circumstances, ANSWER)
    known.keep(other, HERE, ANSWER)
    assert known.forget(package.content_hash) == 2
    assert known.find(package, HERE) is None
    assert known.find(other, HERE) == ANSWER


@pytest.mark.parametrize(
    ("policy", "follows"),
    [
        ("", True),
        ('environment = ["SHOP_MODE"]\nthreads = true\nnative = ["orjson"]', True),
        ("network = false\nsubprocess = false", True),
        ("network = true", False),
        ('network = ["example.org:443"]', False),
        ("subprocess = true", False),
        ("native = true", False),
        ('native = ["orjson", "ctypes"]', False),
        ('filesystem.read = ["/etc/shop.toml"]', False),
        ('filesystem.write = ["/var/shop"]', False),
    ],
)
def test_answer_is_known_only_where_it_follows_from_the_content(
    policy: str, follows: bool, folder: MakeFolder
) -> None:
    package = open_package(folder(manifest=f"{MANIFEST}[policy]\n{policy}\n"))
    assert follows_from_content(package) is follows


def test_what_a_trusted_key_signed_is_not_described_by_what_nobody_signed(package: Package) -> None:
    signed = msgspec.structs.replace(package, signature=Verdict("trusted", "ada"))
    assert not follows_from_content(signed)
    assert follows_from_content(msgspec.structs.replace(package, signature=Verdict("unknown key", "bob")))


@pytest.mark.parametrize(
    ("more", "lasts"),
    [
        ({}, True),
        (
            {"error": {"kind": "timeout", "type": "ImportTimeout", "message": "importing took too long"}},
            False,
        ),
        ({"error": {"kind": "missing_import", "type": "ModuleNotFoundError", "message": "x"}}, False),
        ({"interpreter_refusal": "module x does not support loading in subinterpreters"}, True),
        ({"interpreter_refusal": "its worker was killed by SIGKILL"}, False),
        ({"interpreter_refusal": "interpreters are switched off"}, True),
    ],
)
def test_failure_that_may_be_of_the_moment_does_not_last(more: dict[str, Any], lasts: bool) -> None:
    circumstances = HERE._replace(no_interpreters="interpreters are switched off")
    assert is_lasting(circumstances, ANSWER | more) is lasts
