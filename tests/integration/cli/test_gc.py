"""`laneway gc` deletes old runs and the file shrinks."""

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from package_folders import make_folder

from laneway import Engine, Workflow, task
from laneway._core.errors import SettingInvalid
from laneway.packages import open_package
from laneway.packages.depot import leave
from laneway.settings import age_from


@task
async def bulky(n: int) -> str:
    return "x" * 20_000


FLOW = Workflow("bulky", [bulky])


def _gc(store: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "laneway", "gc", "--store", store, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_old_runs_go_and_the_file_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = f"sqlite:///{path}"
    async with Engine(store) as engine:
        for number in range(400):
            await engine.run(FLOW, {"n": number})
    before = path.stat().st_size
    assert before > 8_000_000
    kept = _gc(store, "--older-than", "1d", "--json")
    assert json.loads(kept.stdout)["swept"]["runs"] == 0
    shown = _gc(store, "--older-than", "0s", "--dry-run", "--json")
    assert json.loads(shown.stdout)["sizes"]["runs"] == 400
    swept = _gc(store, "--older-than", "0s", "--json")
    assert swept.returncode == 0, swept.stderr
    answer = json.loads(swept.stdout)
    nothing = {"artifacts": 0, "artifact_bytes": 0, "packages": 0, "package_bytes": 0}
    assert answer["swept"] == {"runs": 400, "steps": 400, "events": 1200, **nothing}
    assert answer["freed_bytes"] > 4_000_000
    assert path.stat().st_size < before / 2


async def test_packages_that_nobody_needs_go_and_are_shown(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    used = {"shop": time.time() - 40 * 86_400, "till": time.time()}
    async with Engine(url) as engine:
        for name, moment in used.items():
            manifest = f'[package]\nname = "{name}"\nversion = "1.0"\nentry_module = "shop_tasks"\n'
            unit = open_package(make_folder(tmp_path / name, manifest)).unit()
            await leave(engine.store, unit, name, now=partial(float, moment))
    shown = _gc(url, "--older-than", "30d", "--dry-run")
    rows = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()[1:]}
    assert rows["packages"] == ["0", "2"]
    swept = json.loads(_gc(url, "--older-than", "30d", "--json").stdout)
    assert swept["swept"]["packages"] == swept["sizes"]["packages"] == 1
    assert swept["swept"]["package_bytes"] > 0
    again = json.loads(_gc(url, "--older-than", "0s", "--json").stdout)
    assert (again["swept"]["packages"], again["sizes"]["packages"]) == (0, 1), "it was used just now"


def test_an_age_that_is_none_is_refused_with_an_example(tmp_path: Path) -> None:
    assert [age_from("age", age) for age in ("90s", "15m", "2h", "1.5d", "2w")] == [
        90,
        900,
        7200,
        129_600,
        1_209_600,
    ]
    with pytest.raises(SettingInvalid, match="30d"):
        age_from("age", "a month")
    refused = _gc(f"sqlite:///{tmp_path}/none.db", "--older-than", "1d")
    assert refused.returncode == 1
    assert "there is no store" in refused.stderr
