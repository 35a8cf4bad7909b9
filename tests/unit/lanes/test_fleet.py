"""Units in workers: their paths, discovery, crashes, isolation, and what is left when the fleet closes."""

import asyncio
import json
import os
import sys
import threading
import time
from concurrent import interpreters
from pathlib import Path

from tests.unit.lanes.conftest import Bench, MakePackage

from laneway._core.model import TaskSpec
from laneway.lanes import Fleet, InterpreterLane
from laneway.ports import StepOrder, Unit

FREE = {"native": True, "threads": True, "filesystem.read": True}

SIMPLE = """
    import os, sys, threading, time
    from laneway import task, Workflow

    @task
    def echo(data): return data

    @task
    def pid(): return os.getpid()

    @task
    def slow(seconds): time.sleep(seconds); return "done"

    @task
    def path(): return [sys.path, sorted(sys.modules)]

    @task
    def dies(code): os._exit(code)

    @task
    def faults():
        import ctypes
        ctypes.string_at(0)

    @task
    def leaves_a_thread():
        threading.Thread(target=threading.Event().wait).start()
        return "left"

    @task
    def native_thread(): return [threading.get_native_id(), os.getpid()]

    flow = Workflow("simple", [echo, slow])
"""


def host_pids(fleet: Fleet) -> set[int]:
    return {host.pid for host in fleet._hosts}


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_package_sees_its_own_paths_and_the_standard_library_only(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    path, modules = await bench.value(place, unit, "path")
    assert tuple(path[:2]) == unit.paths
    assert not any("site-packages" in one for one in path)
    assert "msgspec" not in modules
    assert "simple" not in sys.modules


async def test_same_names_and_conflicting_versions_run_side_by_side(
    bench: Bench, package: MakePackage, place: str
) -> None:
    source = """
        import library
        from laneway import task

        @task
        def version(): return library.VERSION
    """
    units = [
        package("same", source, vendor={"library": f"VERSION = {number}"}, folder=f"same-{number}")
        for number in (1, 2)
    ]
    before = set(sys.modules)
    for _ in range(3):
        assert [await bench.value(place, unit, "version") for unit in units] == [1, 2]
    assert not {"same", "library"} & (set(sys.modules) - before)


async def test_discovery_answers_with_plain_data(bench: Bench, package: MakePackage) -> None:
    found = await bench.fleet.discover(package("simple", SIMPLE, policy=FREE))
    assert found["error"] is None
    assert found["interpreter_refusal"] == ""
    assert [task["id"] for task in found["tasks"]][:2] == ["echo", "pid"]
    assert found["workflows"][0] | {"merge": {}} == {
        "name": "simple", "attribute": "flow", "tasks": ["echo", "slow"], "merge": {}, "doc": "",
    }  # fmt: skip
    assert all(len(task["fingerprint"]) == 64 for task in found["tasks"])
    spec = TaskSpec.from_described(found["tasks"][0])
    assert (spec.id, spec.reference, spec.parameters) == ("echo", "simple:echo", ("data",))


async def test_import_error_comes_back_with_its_traceback(bench: Bench, package: MakePackage) -> None:
    found = await bench.fleet.discover(package("broken", "import there_is_no_such_module"))
    assert found["error"]["kind"] == "missing_import"
    assert "import there_is_no_such_module" in found["error"]["traceback"]


async def test_import_that_hangs_is_stopped_by_its_limit(bench: Bench, package: MakePackage) -> None:
    found = await bench.fleet.discover(package("hangs", "import time; time.sleep(60)"), 0.3)
    assert found["error"]["kind"] == "timeout"
    assert "importing hangs" in found["error"]["message"]


async def test_import_that_exits_prints_or_dies_is_a_clear_failure(
    bench: Bench, package: MakePackage
) -> None:
    leaves = await bench.fleet.discover(package("leaves", "import sys; sys.exit('not today')"))
    assert (leaves["error"]["type"], leaves["error"]["message"]) == ("SystemExit", "not today")
    chatty = await bench.fleet.discover(package("chatty", "print('x' * 1_000_000)"))
    assert chatty["error"] is None
    dies = await bench.fleet.discover(package("dies", "import os; os._exit(7)"))
    assert dies["error"]["kind"] == "lost_lane"
    assert "status 7 while importing dies" in dies["error"]["message"]


async def test_broken_unit_fails_its_orders_and_is_tried_again(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("later", "import later_module\nfrom laneway import task\n\n@task\ndef one(): return 1\n")
    assert (await bench.failure(place, unit, "one"))["kind"] == "missing_import"
    Path(unit.paths[1], "later_module.py").write_text("")
    assert await bench.value(place, unit, "one") == 1


async def test_extension_that_refuses_interpreters_moves_discovery_to_a_process(bench: Bench) -> None:
    unit = Unit(
        key="module:msgspec",
        kind="module",
        entry="msgspec",
        inherited=tuple(sys.path),
        name="msgspec",
    )
    found = await bench.fleet.discover(unit)
    assert found["error"] is None
    assert "subinterpreter" in found["interpreter_refusal"]
    reason = bench.lanes["interpreter"].refusal(unit, TaskSpec(id="x", reference="msgspec:x"))
    assert reason is not None
    assert "cannot be loaded in an interpreter" in reason


async def test_dying_worker_is_a_failure_with_the_reason(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    failure = await bench.failure(place, unit, "dies", code=9)
    assert failure["kind"] == "lost_lane"
    assert "exited with status 9 while it ran task 'dies'" in failure["message"]
    failure = await bench.failure(place, unit, "faults")
    assert "SIGSEGV" in failure["message"]
    assert "in faults" in failure["traceback"]
    assert await bench.value(place, unit, "echo", data=1) == 1


async def test_crash_never_touches_other_packages(package: MakePackage) -> None:
    bench = Bench(workers=1, per_host=32)
    await bench.open()
    units = [package("simple", SIMPLE, policy=FREE, folder=f"simple-{number}") for number in range(20)]
    await asyncio.gather(*(bench.value("interpreter", unit, "echo", data=0) for unit in units))
    slow = [
        asyncio.ensure_future(bench.value("interpreter", unit, "slow", seconds=0.6)) for unit in units[1:]
    ]
    await asyncio.sleep(0.1)
    failure = await bench.failure("interpreter", units[0], "dies", code=1)
    assert failure["kind"] == "lost_lane"
    assert await asyncio.gather(*slow) == ["done"] * 19
    await bench.close()


async def test_kill_of_one_interpreter_never_touches_other_packages(package: MakePackage) -> None:
    bench = Bench(workers=1, per_host=32)
    await bench.open()
    units = [package("simple", SIMPLE, policy=FREE, folder=f"simple-{number}") for number in range(20)]
    await asyncio.gather(*(bench.value("interpreter", unit, "echo", data=0) for unit in units))
    assert len(host_pids(bench.fleet)) == 1
    stuck = asyncio.ensure_future(bench.run("interpreter", units[0], "slow", timeout=0.1, seconds=60))
    others = [
        asyncio.ensure_future(bench.value("interpreter", unit, "slow", seconds=seconds))
        for unit in units[1:]
        for seconds in (0.2, 0.8)
    ]
    assert await asyncio.gather(*others) == ["done"] * 38
    assert (await stuck).stopped_by in ("interrupt", "kill")
    assert await bench.value("interpreter", units[0], "echo", data=1) == 1
    await bench.close()


async def test_engine_process_holds_no_interpreter_and_can_fork(bench: Bench, package: MakePackage) -> None:
    await bench.value("interpreter", package("simple", SIMPLE, policy=FREE), "echo", data=1)
    assert len(interpreters.list_all()) == 1
    assert not [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


async def test_attempts_do_not_run_on_the_hosts_main_thread(bench: Bench, package: MakePackage) -> None:
    thread, pid = await bench.value("interpreter", package("simple", SIMPLE, policy=FREE), "native_thread")
    assert thread != pid
    assert pid in host_pids(bench.fleet)


async def test_idle_workers_and_engine_do_not_wake_up(package: MakePackage) -> None:
    bench = Bench(heartbeat=3600)
    await bench.open()
    await bench.value("interpreter", package("simple", SIMPLE, policy=FREE), "echo", data=1)

    def switches() -> int:
        return sum(
            int(line.split()[1])
            for pid in host_pids(bench.fleet)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for line in (thread / "status").read_text().splitlines()
            if line.startswith("voluntary")
        )

    before = -1
    async with asyncio.timeout(20):  # until the worker has gone to sleep, also on a busy machine
        while before != switches():
            before = switches()
            await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)
    assert switches() - before <= 1
    await bench.close()


async def test_thread_left_behind_does_not_hold_anything_up(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    assert await bench.value(place, unit, "leaves_a_thread") == "left"
    pids = host_pids(bench.fleet)
    async with asyncio.timeout(3):
        await bench.close()
    assert not any(is_alive(pid) for pid in pids)


async def test_closing_leaves_no_process_and_no_descriptor(package: MakePackage) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bench = Bench()
    await bench.open()
    unit = package("simple", SIMPLE, policy=FREE)
    for name in ("loop", "thread", "interpreter", "process"):
        lane = bench.lanes[name]
        if name != "loop":
            assert (await lane.run(bench.order(unit, "echo", data=1))).kind == "value"
    pids = host_pids(bench.fleet)
    assert len(pids) == 2
    await bench.close()
    assert not any(is_alive(pid) for pid in pids)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_closing_stops_what_runs_after_the_grace(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    await bench.value(place, unit, "echo", data=1)
    running = asyncio.ensure_future(bench.run(place, unit, "slow", seconds=60))
    waiting = [asyncio.ensure_future(bench.run(place, unit, "slow", seconds=60)) for _ in range(5)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(4):
        await bench.fleet.close(grace=0.1)
        outcomes = await asyncio.gather(running, *waiting)
    assert {outcome.kind for outcome in outcomes} <= {"failure", "stopped"}


async def test_ten_thousand_tasks_leave_nothing_behind(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    lane = bench.lanes[place]
    order = bench.order(unit, "echo", data="x" * 200)

    async def many(count: int) -> None:
        for _ in range(count // 500):
            await asyncio.gather(*(lane.run(order) for _ in range(500)))

    def used() -> dict[str, int]:
        pids = [os.getpid(), *host_pids(bench.fleet)]
        return {
            "memory": sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids),
            "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
            "descriptors": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            "workers": len(lane.health().workers),
        }

    await many(4000)
    before = used()
    await many(10_000)
    after = used()
    assert after["memory"] - before["memory"] < 2_000_000
    del before["memory"], after["memory"]
    assert after == before


async def test_idle_workers_are_closed_and_come_back_on_demand(package: MakePackage) -> None:
    bench = Bench(idle_timeout=0.1)
    await bench.open()
    unit = package("simple", SIMPLE, policy=FREE)
    await bench.value("interpreter", unit, "echo", data=1)
    async with asyncio.timeout(5):
        while bench.fleet._hosts:
            await asyncio.sleep(0.02)
    assert bench.lanes["interpreter"].health().workers == []
    assert await bench.value("interpreter", unit, "echo", data=2) == 2
    await bench.close()


async def test_retired_unit_finishes_and_is_gone(bench: Bench, package: MakePackage, place: str) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    await bench.value(place, unit, "echo", data=1)
    running = asyncio.ensure_future(bench.value(place, unit, "slow", seconds=0.3))
    await asyncio.sleep(0.05)
    await bench.lanes[place].retire(unit.key)
    assert await running == "done"
    assert bench.lanes[place].health().workers == []


async def test_switched_off_interpreters_run_on_processes_with_the_reason(package: MakePackage) -> None:
    fleet = Fleet(workers=1, interpreters="LANEWAY_INTERPRETERS=off")
    lane = InterpreterLane(fleet)
    await lane.open()
    unit = package("simple", SIMPLE, policy=FREE)
    order = StepOrder(
        unit=unit,
        task=TaskSpec(id="echo", reference="simple:echo", parameters=("data",)),
        payload=b'{"data":1}',
        run="r",
    )
    outcome = await lane.run(order)
    assert (outcome.kind, outcome.lane) == ("value", "process")
    assert fleet.no_interpreters == "LANEWAY_INTERPRETERS=off"
    await lane.close(grace=1)


async def test_script_is_loaded_under_another_name(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "from laneway import task\n\n@task\ndef name(): return __name__\n\n"
        "if __name__ == '__main__':\n    raise SystemExit('must not run')\n"
    )
    unit = Unit(
        key=str(script), kind="script", entry=str(script), inherited=tuple(sys.path), name="program.py"
    )
    order = StepOrder(unit=unit, task=TaskSpec(id="name", reference="__main__:name"), payload=b"{}", run="r")
    for place in ("interpreter", "process"):
        assert json.loads((await bench.lanes[place].run(order)).body) == "__laneway_main__"


PROGRAM = """
    import asyncio
    import laneway
    from laneway import Engine, RunResult, Workflow, run, task
    from laneway.engine import RunHandle
    from laneway.lanes import Fleet

    engine = Engine("memory://")

    @task
    def one() -> int: return 1

    @task
    def uses_engine(): return engine.start

    flow = Workflow("flow", [one])

    def main() -> RunResult: return run(flow)
"""


async def test_script_that_imports_the_engine_at_its_top_loads_in_a_worker(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("program", PROGRAM)
    assert await bench.value(place, unit, "one") == 1
    for name in ("uses_engine", "main"):
        failure = await bench.failure(place, unit, name)
        assert "__main__" in failure["message"]


async def test_health_shows_what_runs_for_how_long_and_in_how_much_memory(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    await bench.value(place, unit, "echo", data=1)
    running = asyncio.ensure_future(bench.run(place, unit, "slow", seconds=60))
    begun = time.monotonic()
    await asyncio.sleep(0.15)
    health = bench.lanes[place].health()
    worker = next(one for one in health.workers if one["state"] == "running")
    assert health.running == 1
    assert worker["task"] == "slow"
    assert worker["unit"] == "simple"
    assert 0.1 < worker["attempts"][0]["age"] < time.monotonic() - begun + 0.1
    assert 5 < worker["memory_mib"] < 500
    running.cancel()
    await asyncio.wait([running])


async def test_worker_whose_own_loop_breaks_is_replaced(
    bench: Bench, package: MakePackage, place: str
) -> None:
    unit = package("simple", SIMPLE, policy=FREE)
    await bench.value(place, unit, "echo", data=1)
    (worker,) = bench.fleet._pools[unit.key, place].workers
    worker._numbers["simple:pid"] = 99  # the worker has never heard of this number
    async with asyncio.timeout(10):
        failure = await bench.failure(place, unit, "pid")
    assert failure["kind"] == "lost_lane"
    assert "KeyError" in failure["traceback"]
    assert await bench.value(place, unit, "echo", data=2) == 2
