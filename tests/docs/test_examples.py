"""Every Python example in the README and the docs runs as printed, or at least is Python."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import laneway

ROOT = Path(laneway.__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[Any]:
    found = []
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text("utf-8")), 1):
            name = f"{page.relative_to(ROOT)}:{number}"
            found.append(pytest.param(match.group(1), id=name))
    return found


def is_whole(code: str) -> bool:
    """Whether an example is a program, not a fragment: it begins with its imports and has no bare await."""
    first = next((line for line in code.splitlines() if line.strip() and not line.startswith("#")), "")
    if not first.startswith(("import ", "from ")):
        return False
    try:
        ast.parse(code)
        compile(code, "example", "exec")
    except SyntaxError:
        return False
    return True


@pytest.mark.parametrize("code", examples())
def test_the_example_runs_as_printed(code: str, tmp_path: Path) -> None:
    if not is_whole(code):
        compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return
    script = tmp_path / "example.py"
    script.write_text(code, "utf-8")
    run = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert run.returncode == 0, run.stderr


def test_the_readme_example_prints_what_it_says(tmp_path: Path) -> None:
    code = BLOCK.search((ROOT / "README.md").read_text("utf-8"))
    assert code is not None
    script = tmp_path / "longest.py"
    script.write_text(code.group(1), "utf-8")
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=50, check=True
    )
    assert run.stdout == "not\n"
