"""What a fresh worker imports before it loads anybody's code: little, because every interpreter pays for it."""

import json
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
EXPENSIVE = {
    "annotationlib", "ast", "asyncio", "collections", "dataclasses", "difflib", "enum", "functools", "importlib.util",
    "inspect", "json", "logging", "msgspec", "re", "signal", "traceback", "typing", "warnings",
}  # fmt: skip


def imported_by(code: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    names: list[str] = json.loads(found.stdout)
    return set(names)


def test_worker_starts_without_what_takes_long_to_import() -> None:
    code = "import laneway.lanes._shim\nnames = sorted(sys.modules)\nimport json\nprint(json.dumps(names))"
    imported = imported_by(code)
    assert "laneway.authoring" in imported
    assert not imported & EXPENSIVE


def test_task_authors_names_bring_little_with_them() -> None:
    code = (
        "from laneway import Retry, Workflow, cancelled, task\n@task(retry=Retry(attempts=2))\ndef one(x): return x\n"
        "Workflow('w', [one])\nnames = sorted(sys.modules)\nimport json\nprint(json.dumps(names))"
    )
    assert not imported_by(code) & EXPENSIVE
