"""The real command, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FLOW = '''
import time
from pathlib import Path
from laneway import Workflow, cancelled, task

@task
def numbers(n: int = 3) -> list[int]:
    """Numbers to work on."""
    return list(range(n))

@task(each="numbers", lane="thread")
def double(item: int, pause: float = 0.0, gate: str = "") -> int:
    """From the twentieth on it waits until the gate is open."""
    while gate and item >= 20 and not Path(gate).exists() and not cancelled():
        time.sleep(0.01)
    time.sleep(pause)
    print("noise from", item)
    return item * 2

@task
def total(double: list[int]) -> int:
    return sum(double)

@task
def parse(text: str) -> int:
    """Read a number."""
    return int(text)

@task(lane="interpreter", each="numbers", cpu=True)
def square(item: int) -> int:
    return item * item

@task(lane="interpreter")
def careless(text: str) -> int:
    return int(text)

flow = Workflow("sum", [numbers, double, total])
parsing = Workflow("parsing", [parse])
squares = Workflow("squares", [numbers, square])
remote = Workflow("remote", [careless])
not_a_flow = 3
'''

type Laneway = Callable[..., subprocess.CompletedProcess[str]]


def environment(**more: str) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LANEWAY", "COLUMNS", "NO_COLOR"))
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


@pytest.fixture
def laneway(folder: Path) -> Laneway:
    """Run the command to its end."""

    def run(*arguments: str, given: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "laneway", *arguments],
            cwd=folder,
            env=environment(**variables),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process group of its own; ended at the test's end whatever happens."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "laneway", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
