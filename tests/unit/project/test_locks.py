"""The lock files: complete, hashed, without addresses, and true to pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(lock: Path) -> dict[str, Version]:
    pins = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_in_a_lock_has_a_hash(lock: Path) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = [entry for entry in entries if entry.strip()]
    assert len(entries) == len(locked(lock))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    "lock", [lock for lock in LOCKS if lock.name.startswith("dev-")], ids=lambda lock: lock.name
)
def test_every_lock_satisfies_the_core_dependencies(lock: Path) -> None:
    pins = locked(lock)
    for text in PROJECT["project"]["dependencies"]:
        wanted = Requirement(text)
        assert pins[canonicalize_name(wanted.name)] in wanted.specifier


def test_the_main_lock_satisfies_every_extra_and_group() -> None:
    pins = locked(ROOT / "requirements" / "dev-3.14.txt")
    extras = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    for text in [line for lines in (*extras.values(), *groups.values()) for line in lines]:
        wanted = Requirement(text)
        if wanted.name != "laneway":
            assert pins[canonicalize_name(wanted.name)] in wanted.specifier


def test_there_are_at_most_six_core_dependencies() -> None:
    assert len(PROJECT["project"]["dependencies"]) <= 6


def test_the_workflow_pins_its_actions_to_releases() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)", workflow)
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", action)] == []
