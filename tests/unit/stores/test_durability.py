"""Each durability does what it says: `fsync` waits for the disk with every commit, `commit` does not, `exit` defers."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from parts import lacking

from laneway import Engine, Workflow, task

_SCRIPT = """
import asyncio, os, sys
from laneway.stores.sqlite import SqliteStore
from laneway.testing.stores import committed, opened, step, submission, written
async def main():
    async with opened(SqliteStore(sys.argv[1], durability=sys.argv[2])) as store:
        record = await store.submit(submission())
        for number in range(20):
            os.write(2, b"begin %d\\n" % number)
            await committed(store, written(record, step(record, f"t{number}")))
            os.write(2, b"answered %d\\n" % number)
asyncio.run(main())
"""


def _syncs_per_commit(path: Path, durability: str) -> list[int]:
    """How often the program asked the kernel to write to the disk between handing over and being answered."""
    strace = shutil.which("strace")
    if strace is None:
        lacking("needs strace")
    trace = path.with_suffix(".trace")
    command = [
        strace,
        "-f",
        "-e",
        "trace=fsync,fdatasync,write",
        "-o",
        str(trace),
        sys.executable,
        "-c",
        _SCRIPT,
    ]
    done = subprocess.run([*command, str(path), durability], capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr
    parts = re.split(r'write\(2, "begin \d+', trace.read_text())[1:]
    assert len(parts) == 20
    return [len(re.findall(r"f(?:data)?sync\(", part.partition('"answered ')[0])) for part in parts]


@pytest.mark.slow
def test_fsync_syncs_once_before_every_answer(tmp_path: Path) -> None:
    assert _syncs_per_commit(tmp_path / "store.db", "fsync") == [1] * 20


@pytest.mark.slow
def test_commit_leaves_syncing_to_checkpoints(tmp_path: Path) -> None:
    assert _syncs_per_commit(tmp_path / "store.db", "commit") == [0] * 20


def _steps(path: Path) -> int:
    connection = sqlite3.connect(path)
    number: int = connection.execute("select count(*) from step").fetchone()[0]
    connection.close()
    return number


async def test_exit_writes_the_steps_when_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    reached, going = asyncio.Event(), asyncio.Event()

    @task
    async def first() -> int:
        return 1

    @task
    async def second(first: int) -> int:
        reached.set()
        await going.wait()
        return first + 1

    flow = Workflow("two", [first, second])
    async with Engine(f"sqlite:///{path}", durability="exit") as engine:
        handle = await engine.start(flow)
        await reached.wait()
        assert _steps(path) == 0
        going.set()
        result = await handle.result()
        assert result.context == {"first": 1, "second": 2}
        assert _steps(path) == 2
        events = [one.kind for one in await engine.events(run=result.id)]
        assert events == ["run_submitted", "step_succeeded", "step_succeeded", "run_succeeded"]


async def test_exit_writes_finished_steps_when_the_engine_closes_early(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    reached = asyncio.Event()
    waiting = True

    @task
    async def first() -> int:
        return 1

    @task
    async def second(first: int) -> int:
        reached.set()
        if waiting:
            await asyncio.Event().wait()
        return first + 1

    flow = Workflow("two", [first, second])
    async with Engine(f"sqlite:///{path}", grace=0) as engine:
        handle = await engine.start(flow, durability="exit")
        await reached.wait()
    assert _steps(path) == 1
    waiting = False
    async with Engine(f"sqlite:///{path}") as engine:
        handle = await engine.resume(handle.id, flow)
        assert (await handle.result()).kept == 1
