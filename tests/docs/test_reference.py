"""The reference pages that come from the code are in step with it, and no two errors share a code."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import laneway

ROOT = Path(laneway.__file__).parents[2]


def test_generated_pages_are_in_step_with_the_code() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}{run.stderr}: run scripts/reference"


def test_every_error_code_belongs_to_one_error() -> None:
    codes: Counter[str] = Counter()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                named_code = any(
                    isinstance(target, ast.Name) and target.id == "code" for target in node.targets
                )
                if named_code and str(node.value.value).startswith("LW-"):
                    codes[str(node.value.value)] += 1
    assert {code: count for code, count in codes.items() if count > 1} == {}


def test_the_environment_is_read_in_settings_and_nowhere_else() -> None:
    readers = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "src").rglob("*.py")
        if "LANEWAY_" in file.read_text("utf-8")
        and any(
            word in file.read_text("utf-8") for word in ("os.environ", "getenv", "from os import environ")
        )
    ]
    assert readers == ["src/laneway/settings.py"]
