"""`laneway audit`, and policy violations of packages in the log."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from package_folders import make_folder

from laneway import Engine, PackageError
from laneway.observe.audit import entries

PACKAGE = """
from laneway import Workflow, task

@task
def looks_around():
    try:
        open("/etc/passwd").close()
    except PermissionError:
        return "went on without"
    return "saw it"

@task(dependencies=[looks_around])
def runs_a_program():
    import subprocess
    subprocess.run(["true"])

nosy = Workflow("nosy", [looks_around, runs_a_program])
"""


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "laneway", "audit", *arguments],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a run whose package did what its policy forbids."""
    import asyncio

    place = tmp_path_factory.mktemp("audited")
    package = make_folder(place / "shop", files={"src/shop_tasks.py": PACKAGE})

    async def go() -> None:
        engine = Engine("memory://", audit=str(place / "audit"), workers=1)
        registry = engine.metrics
        async with engine:
            await engine.run(str(package), {}, check=False)
            (place / "broken.lane").write_bytes(b"this is no archive")
            with pytest.raises(PackageError):
                await engine.load(str(place / "broken.lane"))
        refused = [
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "laneway_policy_refusals_total"
        ]
        assert sum(refused) >= 2

    asyncio.run(go())
    return place / "audit"


def test_what_a_policy_refused_is_in_the_log_with_the_packages_hash(folder: Path) -> None:
    found = [one for one in entries(folder) if one["what"] == "policy_violation"]
    assert {one["task"] for one in found} == {"looks_around", "runs_a_program"}
    for one in found:
        assert one["decision"] == "refused"
        assert one["package"] == "shop 1.0"
        assert re.fullmatch("[0-9a-f]{12,64}", one["package_hash"])
        assert one["run"]
        assert one["action"]


def test_packages_that_were_loaded_and_refused_are_in_the_log(folder: Path) -> None:
    found = {one["what"]: one for one in entries(folder) if one["what"].startswith("package_")}
    assert found["package_loaded"]["package"] == "shop 1.0"
    assert found["package_loaded"]["decision"] == "accepted"
    assert found["package_refused"]["decision"] == "refused"
    assert "broken.lane" in found["package_refused"]["package"]


def test_the_log_is_shown_and_verified(folder: Path) -> None:
    shown = cli("show", str(folder), "--what", "policy_violation", "--json")
    assert {one["task"] for one in json.loads(shown.stdout)} == {"looks_around", "runs_a_program"}
    assert "policy_violation" in cli("show", str(folder)).stdout
    verified = cli("verify", str(folder), "--json")
    assert verified.returncode == 0
    told = json.loads(verified.stdout)
    assert told["intact"]
    anchored = cli("verify", str(folder), "--anchor", f"{told['entries']}:{told['hash']}")
    assert anchored.returncode == 0
    assert anchored.stdout.startswith("intact: ")
    assert cli("verify", str(folder), "--anchor", f"1:{'0' * 64}").returncode == 1


def test_a_changed_log_is_told_with_its_line(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b'"looks_around"', b'"nothing"', 1))
    verified = cli("verify", str(tmp_path))
    assert verified.returncode == 1
    assert "000001.jsonl:" in verified.stdout
    assert "the entry was changed" in verified.stdout


def test_without_a_log_the_command_says_what_to_do(tmp_path: Path) -> None:
    missing = cli("verify", str(tmp_path / "none"))
    assert missing.returncode != 0
    assert "there is no audit log" in missing.stderr
