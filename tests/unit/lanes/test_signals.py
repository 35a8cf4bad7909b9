"""Ctrl-C, SIGTERM and SIGKILL during work: the program ends, and no worker is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

PROGRAM = """
    import asyncio, json, os, signal, sys, threading, time
    from laneway.authoring import spec_of, task
    from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
    from laneway.ports import StepOrder, Unit

    @task
    def sleeps(): time.sleep(60)

    @task
    async def waits(): await asyncio.sleep(60)

    @task
    def pid(): return os.getpid()

    LANES = {"loop": LoopLane, "thread": ThreadLane, "interpreter": InterpreterLane, "process": ProcessLane}

    async def main(name, ending):
        fleet = Fleet(workers=2)
        lane = LANES[name](fleet)
        await lane.open()
        unit = Unit(key="script", kind="script", entry=__file__, inherited=tuple(sys.path))
        order = lambda function: StepOrder(unit=unit, task=spec_of(function), payload=b"{}", run="r")
        pids = []
        if name in ("interpreter", "process"):
            pids = [int((await lane.run(order(pid))).body)]
        if ending == "handled":
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        running = asyncio.ensure_future(lane.run(order(waits if name == "loop" else sleeps)))
        await asyncio.sleep(0.2)
        print(json.dumps(pids), flush=True)
        if ending == "handled":
            await stop.wait()
            running.cancel()
            await asyncio.wait([running])
            await lane.close(grace=0.1)
            print("closed", flush=True)
        elif ending == "leave":
            return
        else:
            await running

    if __name__ == "__main__":
        if sys.argv[2] == "thread":
            thread = threading.Thread(target=asyncio.run, args=(main(sys.argv[1], "leave"),))
            thread.start()
            thread.join()
        else:
            asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


ISOLATED_STOPS = [
    "cooperative", "endless_loop", "swallows_everything", "stubborn_coroutine", "sleeps", "reads_socket",
    "catastrophic_expression", "long_c_call", "deadlocked", "stubborn_child",
]  # fmt: skip


def start(tmp_path: Path, lane: str, ending: str) -> tuple[subprocess.Popen[str], list[int]]:
    script = tmp_path / "program.py"
    script.write_text(dedent(PROGRAM))
    program = subprocess.Popen(
        [sys.executable, str(script), lane, ending], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line.startswith("["):
        raise AssertionError(line + "".join(program.communicate()))
    return program, [int(one) for one in line.strip("[]\n").split(",") if one]


def assert_dead(pids: list[int], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.01)  # other processes end in their own time; there is no event to wait for


@pytest.mark.parametrize("lane", ["loop", "thread", "interpreter", "process"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_ends_the_program_and_its_workers(tmp_path: Path, lane: str, number: signal.Signals) -> None:
    program, pids = start(tmp_path, lane, "run")
    begun = time.monotonic()
    program.send_signal(number)
    program.communicate(timeout=20)
    assert time.monotonic() - begun < 8
    assert program.returncode != 0
    assert_dead(pids)


@pytest.mark.parametrize("lane", ["thread", "interpreter", "process"])
def test_supervisor_stop_is_handled_by_the_programs_own_handler(tmp_path: Path, lane: str) -> None:
    program, pids = start(tmp_path, lane, "handled")
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate(timeout=30)
    assert (out, program.returncode) == ("closed\n", 0), err
    assert_dead(pids)


@pytest.mark.parametrize("lane", ["thread", "interpreter", "process"])
@pytest.mark.parametrize("ending", ["leave", "thread"])
def test_program_that_just_leaves_is_not_held_up(tmp_path: Path, lane: str, ending: str) -> None:
    begun = time.monotonic()
    program, pids = start(tmp_path, lane, ending)
    program.communicate(timeout=20)
    assert time.monotonic() - begun < 15
    assert_dead(pids)


EVERY_STOP = """
    import asyncio, json, sys
    from laneway.lanes import Fleet, InterpreterLane, LoopLane, ProcessLane, ThreadLane
    from laneway.testing.lanes import order_for

    LANES = {"loop": LoopLane, "thread": ThreadLane, "interpreter": InterpreterLane, "process": ProcessLane}

    async def main(name, cases):
        lane = LANES[name](Fleet(workers=2))
        await lane.open()
        found = await asyncio.gather(
            *(lane.run(order_for(lane, case, {"seconds": 40}, timeout=0.3)) for case in cases)
        )
        print(json.dumps({case: outcome.stopped_by for case, outcome in zip(cases, found)}), flush=True)
        workers = lane.health().workers
        await lane.close(grace=0.1)
        print(json.dumps([worker["pid"] for worker in workers if "pid" in worker]), flush=True)

    asyncio.run(main(sys.argv[1], sys.argv[2:]))
"""
STOPS = {
    "loop": ["cooperative", "stubborn_coroutine"],
    "thread": ["cooperative", "stubborn_coroutine", "endless_loop", "swallows_everything", "sleeps", "reads_socket",
               "deadlocked"],
    "interpreter": ISOLATED_STOPS,
    "process": ISOLATED_STOPS,
}  # fmt: skip


@pytest.mark.parametrize("lane", list(STOPS))
def test_program_ends_cleanly_after_every_kind_of_stop(tmp_path: Path, lane: str) -> None:
    script = tmp_path / "stops.py"
    script.write_text(dedent(EVERY_STOP))
    ended = subprocess.run(
        [sys.executable, str(script), lane, *STOPS[lane]],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    stopped, pids = map(json.loads, ended.stdout.splitlines())
    assert set(stopped) == set(STOPS[lane])
    assert all(stopped.values()), stopped
    assert_dead(pids)


def test_interrupt_from_the_terminal_does_not_reach_workers(tmp_path: Path) -> None:
    program, pids = start(tmp_path, "interpreter", "run")
    assert all(os.getpgid(pid) != os.getpgid(program.pid) for pid in pids)
    program.kill()
    program.communicate(timeout=10)
    assert_dead(pids)
