"""Python's own `python -m asyncio ps` and `pstree` show what our tasks are doing, by their names."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from laneway import aio

async def charge():
    print("ready", flush=True)
    await asyncio.Event().wait()

async def order():
    async with aio.TaskGroup() as group:
        group.create_task(charge(), metadata=aio.derived_metadata(operation_name="charge card"))

async def main():
    with aio.install_task_factory():
        await aio.create_task(order(), metadata={"operation_name": "order", "correlation_id": "42"})

asyncio.run(main())
"""


@pytest.mark.parametrize("tool", ["ps", "pstree"])
def test_names_tell_what_a_running_program_does(tool: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            shown = subprocess.run(
                [sys.executable, "-m", "asyncio", tool, str(program.pid)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        finally:
            program.kill()
    if "ermission" in shown.stdout + shown.stderr:
        pytest.skip("this system lets no process look into another")
    assert shown.returncode == 0, shown.stderr
    assert "order [42]" in shown.stdout
    assert "charge card [42]" in shown.stdout
