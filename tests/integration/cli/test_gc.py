"""`laneway gc` deletes old runs and the file shrinks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from laneway import Engine, Workflow, task
from laneway._core.errors import SettingInvalid
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
    nothing = {"artifacts": 0, "artifact_bytes": 0}
    assert answer["swept"] == {"runs": 400, "steps": 400, "events": 1200, **nothing}
    assert answer["freed_bytes"] > 4_000_000
    assert path.stat().st_size < before / 2


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
