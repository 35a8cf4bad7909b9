"""The example packages: vendored from their locks, built, and run on the lanes they are made for."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts import lacking

from laneway import Engine, RunFailed
from laneway._core.errors import VendoringFailed
from laneway.packages import PackageCache, build_archive, open_package
from laneway.packages.manifest import read_manifest
from laneway.packages.vendoring import vendor, vendored_in
from laneway.targets import target_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).parents[3] / "examples/packages"

type Check = Callable[[dict[str, Any]], bool]

CASES: dict[str, tuple[dict[str, Any], Check, dict[str, str]]] = {
    "markdown-pages": (
        {
            "documents": [
                {"name": "a", "text": "# Hi\n\nthere *you*"},
                {"name": "b", "text": "| x |\n|---|\n| y |"},
            ]
        },
        lambda found: found["contents"] == ["a: Hi"] and "<table>" in found["pages"][1]["html"],
        {"pages": "interpreter"},
    ),
    "qr-labels": (
        {"parcels": [{"id": f"P{number}", "to": "Basel"} for number in range(9)]},
        lambda found: found["sheet"].count("<svg") == 9 and found["labels"][8]["id"] == "P8",
        {"labels": "interpreter"},
    ),
    "calendar-plan": (
        {
            "appointments": [
                {"name": "weekly", "start": "2026-01-01", "rule": "FREQ=WEEKLY"},
                {"name": "monthly", "start": "2026-01-01", "rule": "FREQ=MONTHLY"},
            ],
            "until": "2026-03-01",
        },
        lambda found: (
            found["collisions"] == {"2026-01-01": ["weekly", "monthly"]}
            and len(found["dates"]["weekly"]) == 9
        ),
        {"dates": "interpreter"},
    ),
    "sql-translate": (
        {"queries": ["select top 3 * from t", "select 1"], "source": "tsql", "target": "postgres"},
        lambda found: found["translated"][0]["sql"] == "SELECT * FROM t LIMIT 3" and found["tables"] == ["t"],
        {"translated": "interpreter"},
    ),
    "json-report": (
        {"lines": ['{"kind": "a"}', "broken", '{"kind": "a"}', "{}"]},
        lambda found: found["parsed"] == {"kinds": {"a": 2, "none": 1}, "broken": [2]},
        {"parsed": "process", "report": "process"},
    ),
}


def _vendored(name: str, folder: Path, uv: Path) -> Path:
    root = folder / name
    shutil.copytree(EXAMPLES / name, root, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    manifest = read_manifest((root / "laneway.toml").read_bytes())
    try:
        vendor(root, manifest, uv=uv, locked=True)
    except VendoringFailed as error:
        lacking(f"the libraries cannot be had here: {error}")
    return root


def test_every_example_has_a_case() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == {*CASES}


def test_locks_hold_versions_and_hashes_and_no_address() -> None:
    for lock in EXAMPLES.glob("*/laneway.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text


@pytest.mark.parametrize("name", CASES)
async def test_example_runs_from_its_archive(
    name: str, tmp_path: Path, uv: Path, cache: PackageCache
) -> None:
    context, check, lanes = CASES[name]
    root = _vendored(name, tmp_path, uv)
    build_archive(open_package(root), tmp_path / "it.lane")
    package = open_package(tmp_path / "it.lane", cache=cache)
    async with Engine("memory://", workers=2, grace=1) as engine:
        target = await target_in(package, engine.fleet)
        result = await engine.run(target, context)
        choices = {task.id: engine.choice(task, package.unit()) for task in target.workflow.tasks}
    assert check(result.context)
    for task, lane in lanes.items():
        attempts = [attempt for step in result.steps if step.task == task for attempt in step.attempts]
        assert {attempt.lane for attempt in attempts if attempt.lane} == {lane}
    if name == "json-report":
        assert "orjson does not support loading in subinterpreters" in choices["parsed"].reason
        assert vendored_in(package.root)[0].native


async def test_one_broken_query_does_not_lose_the_others(tmp_path: Path, uv: Path) -> None:
    package = open_package(_vendored("sql-translate", tmp_path, uv))
    async with Engine("memory://", workers=1, grace=1) as engine:
        target = await target_in(package, engine.fleet)
        context = {"queries": ["select 1", "selec from from", "select 2"], "source": "", "target": "duckdb"}
        with pytest.raises(RunFailed) as caught:
            await engine.run(target, context)
    steps = [step for step in caught.value.result.steps if step.task == "translated" and step.key is not None]
    assert [step.status for step in steps] == ["succeeded", "failed", "succeeded"]
    assert "ParseError" in str(caught.value)
