"""`laneway watch`: a change is noticed, and runs in fresh workers."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from laneway.packages.scaffold import new_package
from laneway.packages.watching import stamp_of, until_changed

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    root = new_package(tmp_path / "shop")
    command = [sys.executable, "-u", "-m", "laneway", "watch", str(root), "-c", "text=a B a"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        yield root / "src/shop.py", process
        process.kill()


def _until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"{wanted!r} never came: {lines}")


def test_changes_run_again_and_mistakes_do_not_end_it(watching: tuple[Path, subprocess.Popen[str]]) -> None:
    source, process = watching
    good = source.read_text()
    _until(process, 'counts = {"a":2,"b":1}')
    started = time.monotonic()
    source.write_text(good.replace(".lower()", ".upper()"))
    _until(process, 'counts = {"A":2,"B":1}')
    assert time.monotonic() - started < 10
    source.write_text("raise ValueError('not now')\n")
    _until(process, "ValueError: not now")
    source.write_text(good)
    _until(process, 'counts = {"a":2,"b":1}')
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 3


async def test_change_is_told_once_the_folder_is_still(tmp_path: Path) -> None:
    root = new_package(tmp_path / "shop")
    seen = stamp_of(root)
    (root / "src/__pycache__").mkdir()
    (root / "src/__pycache__/shop.pyc").touch()
    (root / "README.md").write_text("other")
    assert stamp_of(root) == seen
    (root / "src/new.py").touch()
    changed = await until_changed(root, seen, poll_seconds=0.001)
    assert {path for path, _, _ in changed - seen} == {str(root / "src/new.py")}
