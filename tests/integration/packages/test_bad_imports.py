"""Packages that misbehave while they are imported: a clear failure, and nothing left behind."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from package_folders import MANIFEST, make_folder

from laneway import Engine
from laneway._core.errors import PackageContentInvalid, PackageError, PackageImportFailed
from laneway.packages import open_package, workflows_of

pytestmark = pytest.mark.timeout(90)

GOOD = "from laneway import task\n@task\ndef fine(): return 1\n"
MARK = "laneway-test-mark"
ALLOWING = MANIFEST + "[policy]\nsubprocess = true\nthreads = true\n"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine("memory://", workers=1, grace=1) as engine:
        yield engine


async def _discover(engine: Engine, root: Path, timeout: float = 20) -> list[str]:
    package = open_package(root)
    answer = await engine.fleet.discover(package.unit(), timeout=timeout)
    return [task.id for workflow in workflows_of(package, answer) for task in workflow.tasks]


CASES = {
    "raises": ("raise ValueError('broken on purpose')", "ValueError: broken on purpose"),
    "misses a module": ("import no_such_thing", "Add the distribution to"),
    "has a syntax error": ("def broken(:\n    pass", "SyntaxError"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "is interrupted": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "ends its process": ("import os; os._exit(7)", "ended"),
    "crashes": ("import faulthandler; faulthandler._sigsegv()", "ended"),
    "recurses without end": ("def f(): f()\nf()", "RecursionError"),
    "hangs in Python": ("while True: pass", "import_seconds"),
    "hangs in a sleep": ("import time; time.sleep(3600)", "import_seconds"),
    "registers nothing": ("x = 1", "registers no task"),
    "uses a wrong option": (
        "from laneway import task\n@task(retires=3)\ndef a(): pass",
        "did you mean 'retries'",
    ),
    "has two tasks of one id": (
        "from laneway import task\n@task(id='a')\ndef b(): pass\n@task(id='a')\ndef c(): pass",
        "used by 2 tasks",
    ),
    "replaces the standard streams": (
        "import sys; sys.stdout = sys.stderr = None; raise OSError('no streams')",
        "OSError: no streams",
    ),
    "clears the modules": ("import sys; sys.modules.clear(); raise ValueError('cleared')", "cleared"),
}


@pytest.mark.parametrize("name", CASES)
async def test_package_that_misbehaves_on_import_fails_clearly_and_others_go_on(
    name: str, engine: Engine, tmp_path: Path
) -> None:
    code, expected = CASES[name]
    bad = make_folder(tmp_path / "bad", files={"src/shop_tasks.py": code})
    good = make_folder(tmp_path / "good", MANIFEST.replace('"shop"', '"good"'), {"src/shop_tasks.py": GOOD})
    limit = 1.0 if name.startswith("hangs") else 20
    with pytest.raises(PackageError) as caught:
        await _discover(engine, bad, timeout=limit)
    assert expected in str(caught.value)
    assert isinstance(caught.value, PackageImportFailed | PackageContentInvalid)
    assert await _discover(engine, good) == ["fine"]


async def test_traceback_of_a_failed_import_shows_the_package_own_lines(
    engine: Engine, tmp_path: Path
) -> None:
    files = {"src/shop_tasks.py": "import inner\n", "src/inner.py": "value = 1\n\nraise ValueError('deep')\n"}
    with pytest.raises(PackageImportFailed) as caught:
        await _discover(engine, make_folder(tmp_path / "bad", files=files))
    assert "inner.py" in caught.value.traceback
    assert "raise ValueError('deep')" in caught.value.traceback
    assert "importlib" not in caught.value.traceback


async def test_megabytes_printed_on_import_neither_block_nor_flood(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import os, sys\nprint('x' * 3_000_000)\nprint('y' * 3_000_000, file=sys.stderr)\n"
    code += "os.write(1, b'z' * 1_000_000)\n"
    root = make_folder(tmp_path / "loud", files={"src/shop_tasks.py": code + GOOD})
    assert await _discover(engine, root) == ["fine"]
    assert len(capfd.readouterr().out) < 100_000


async def test_threads_started_on_import_do_not_keep_the_program(tmp_path: Path) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n" + GOOD
    root = make_folder(tmp_path / "threads", ALLOWING, {"src/shop_tasks.py": code})
    async with Engine("memory://", workers=1, grace=0.2) as engine:
        assert await _discover(engine, root) == ["fine"]


def _marked() -> list[int]:
    """Processes with the mark in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and MARK.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "how",
    [
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{MARK}'])",
        "import os\nif os.fork() == 0:\n    import time; time.sleep(60); os._exit(0)",
    ],
    ids=["subprocess", "fork"],
)
async def test_children_started_on_import_do_not_outlive_the_engine(how: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "children", ALLOWING, {"src/shop_tasks.py": f"{how}\n{GOOD}"})
    before = _children()
    async with Engine("memory://", workers=1, grace=0.2) as engine:
        with contextlib.suppress(
            PackageImportFailed
        ):  # forking is refused in an interpreter, whatever the policy
            await _discover(engine, root)
    for _ in range(2000):
        if not _marked() and _children() <= before:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"left behind: {_marked()} {_children() - before}")


def _children() -> set[int]:
    """Processes that this one started and that still live."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(one) for one in children.read_text().split()} if children.exists() else set()


async def test_memory_limit_of_a_package_holds_while_it_is_imported(engine: Engine, tmp_path: Path) -> None:
    greedy = "data = bytearray(1 << 30)\n" + GOOD
    root = make_folder(
        tmp_path / "greedy", MANIFEST + "[limits]\nmemory_mib = 128\n", {"src/shop_tasks.py": greedy}
    )
    with pytest.raises(PackageImportFailed, match="MemoryError"):
        await _discover(engine, root)
    modest = make_folder(
        tmp_path / "ok", MANIFEST + "[limits]\nmemory_mib = 128\n", {"src/shop_tasks.py": GOOD}
    )
    assert await _discover(engine, modest) == ["fine"]
