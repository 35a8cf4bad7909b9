"""`laneway demo`: both acts, stopping, killing and going on, on a small tree."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Laneway

from laneway.cli._demo_view import show_unvendored
from laneway.cli._isolation import vendor

type Start = Callable[..., subprocess.Popen[str]]

FILES = 150
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def tree(folder: Path) -> Path:
    """Enough source for some seconds of work."""
    source = Path(sysconfig.get_path("stdlib")) / "dataclasses.py"
    tree = folder / "tree"
    tree.mkdir()
    for number in range(FILES):
        shutil.copy(source, tree / f"module_{number:03}.py")
    return tree


def _analysed(folder: Path) -> int:
    """How many files the store has as finished."""
    path = folder / ".laneway" / "demo.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "select count(*) from step where task = 'analyse' and item >= 0 and status = 'succeeded'"
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # the schema is not there yet
        return 0
    finally:
        connection.close()


def _wait_for_files(folder: Path, number: int) -> None:
    until = time.monotonic() + 30
    while _analysed(folder) < number:
        assert time.monotonic() < until


def test_the_audit_tells_findings_lanes_reports_and_how_to_see_it_again(
    laneway: Laneway, tree: Path, folder: Path
) -> None:
    (tree / "broken.py").write_text("def f(:\n", encoding="utf-8")
    done = laneway("demo", "tree", "--no-isolation")
    assert done.returncode == 0, done.stderr
    assert f"{FILES + 1} files" in done.stdout
    assert "most interesting finding" in done.stdout
    assert "broken.py" in done.stdout
    assert "interpreter" in done.stdout
    assert (folder / ".laneway" / "source-audit.html").is_file()
    assert (folder / ".laneway" / "source-audit.md").is_file()
    command = next(line for line in done.stdout.splitlines() if "laneway runs show" in line)
    again = laneway(*command.split("laneway", 1)[1].split())
    assert again.returncode == 0, again.stderr
    assert f"analyse × {FILES + 1}" in again.stdout


def test_json_has_the_whole_demo(laneway: Laneway, folder: Path) -> None:
    (folder / "small").mkdir()
    (folder / "small" / "one.py").write_text("cache = {}\n", encoding="utf-8")
    done = laneway("demo", "small", "--json", "--no-isolation", "--out", "reports")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["status"] == "succeeded"
    assert shown["totals"]["files"] == 1
    plain = laneway("demo", "small", "--no-isolation").stdout
    assert "1 file, 1 line, 0 functions: 0 errors, 0 warnings, 0 notes in the source review; 0 of 0" in plain
    assert shown["isolation"] is None
    assert Path(shown["report"]["html"]).parent == folder / "reports"


def test_a_path_that_is_not_there_is_a_usage_error(laneway: Laneway, folder: Path) -> None:
    done = laneway("demo", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert not (folder / ".laneway").exists()


@pytest.mark.slow
def test_ctrl_c_stops_within_a_second_and_the_same_command_goes_on(
    laneway: Laneway, started: Start, tree: Path, folder: Path
) -> None:
    fastest = float("inf")
    for _ in range(3):
        before = _analysed(folder)
        process = started("demo", "tree", "--no-isolation")
        _wait_for_files(folder, before + 5)
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        _, said = process.communicate(timeout=20)
        fastest = min(fastest, time.monotonic() - began)
        assert process.returncode == 3
        assert said.rstrip().endswith("laneway demo tree --no-isolation")
        if fastest < 1:
            break
    assert fastest < 1
    finished = _analysed(folder)
    done = laneway("demo", "tree", "--no-isolation")
    assert done.returncode == 0, done.stderr
    assert f"kept {finished} finished files" in done.stderr


@pytest.mark.slow
def test_kill_in_the_middle_and_the_same_command_repeats_no_finished_file(
    laneway: Laneway, started: Start, tree: Path, folder: Path
) -> None:
    process = started("demo", "tree", "--no-isolation")
    _wait_for_files(folder, 20)
    process.kill()
    process.wait()
    before = json.loads(
        laneway("runs", "show", "latest", "--json", "--store", "sqlite:///.laneway/demo.db").stdout
    )
    kept = {
        one["key"]: one["attempts"]
        for one in before["steps"]
        if one["key"] is not None and one["status"] == "succeeded"
    }
    done = laneway("demo", "tree", "--no-isolation", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == len(kept)
    after = json.loads(
        laneway("runs", "show", "latest", "--json", "--store", "sqlite:///.laneway/demo.db").stdout
    )
    again = {one["key"]: one["attempts"] for one in after["steps"] if one["key"] is not None}
    assert all(again[key] == attempts for key, attempts in kept.items())
    assert len(again) == FILES


@pytest.mark.slow
def test_workers_killed_in_the_middle_are_replaced(
    laneway: Laneway, started: Start, tree: Path, folder: Path
) -> None:
    process = started("demo", "tree", "--no-isolation")
    _wait_for_files(folder, 10)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    out, said = process.communicate(timeout=50)
    assert process.returncode in (0, 1), said
    assert "Traceback (most recent call last)" not in said
    assert out if process.returncode == 0 else said


@pytest.mark.slow
def test_two_versions_of_one_library_run_side_by_side(laneway: Laneway, folder: Path) -> None:
    subprocess.run([sys.executable, str(EXAMPLES / "isolation" / "vendor.py")], check=True)
    (folder / "small").mkdir()
    (folder / "small" / "one.py").write_text("x = 1\n", encoding="utf-8")
    done = laneway("demo", "small", "--json")
    assert done.returncode == 0, done.stderr
    isolation = json.loads(done.stdout)["isolation"]
    old, new = isolation["sides"]
    assert old["version"] != new["version"]
    assert old["library"] == new["library"]
    assert old["file"] != new["file"]
    assert old["said"] != new["said"]
    assert not isolation["in_host"]


@pytest.mark.slow
async def test_without_a_network_the_reason_and_the_command_for_later_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = folder / "isolation"
    shutil.copytree(EXAMPLES / "isolation", copy, ignore=shutil.ignore_patterns("vendor", ".vendored"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    missing = await vendor(copy)
    assert missing is not None
    assert "could not be fetched" in missing.reason
    show_unvendored(missing)
    told = capsys.readouterr()
    assert missing.command in told.err.replace("\n", "")
    assert "The audit above is complete." in told.err
