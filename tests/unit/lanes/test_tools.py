"""What interpreters inside a program would break, and what works beside them: fork, tracemalloc, `asyncio ps`."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

PROGRAM = """
    import asyncio, ctypes, os, sys, tracemalloc
    from laneway.lanes import Fleet, InterpreterLane
    from laneway.testing.lanes import order_for

    MAY_BE_LOOKED_INTO = 0x59616D61  # PR_SET_PTRACER, for kernels that let only parents look into a process

    async def main():
        lane = InterpreterLane(Fleet(workers=2))
        await lane.open()
        tracemalloc.start()
        await asyncio.gather(*(lane.run(order_for(lane, "echo", {"data": 1})) for _ in range(200)))
        assert tracemalloc.take_snapshot().statistics("filename")
        pid = os.fork()
        if pid == 0:
            os._exit(7 if sum(range(1000)) == 499500 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        running = asyncio.create_task(lane.run(order_for(lane, "cooperative", {"seconds": 60})), name="an-attempt")
        await asyncio.sleep(0)
        ctypes.CDLL(None).prctl(MAY_BE_LOOKED_INTO, ctypes.c_ulong(-1), 0, 0, 0)
        tool = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "asyncio", "ps", str(os.getpid()), stdout=-1, stderr=-1
        )
        out, err = await tool.communicate()
        assert b"an-attempt" in out, err.decode()
        running.cancel()
        await asyncio.wait([running])
        await lane.close(grace=1)

    asyncio.run(main())
"""


def test_fork_tracemalloc_and_asyncio_ps_work_beside_interpreter_workers(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(dedent(PROGRAM))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
