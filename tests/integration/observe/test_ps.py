"""`laneway ps`: what runs now, seen from another process; and nobody else sees it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import watched

from laneway import Engine, Pool, Workflow, aio
from laneway.observation import store_name
from laneway.observe import ps
from laneway.registry import store_from

SLOW = Workflow("slow", [watched.waits_for_ever, watched.busy_in_a_thread, watched.busy_in_an_interpreter])


async def ask(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    answer = await asyncio.to_thread(ps.ask, path, question)
    assert answer is not None
    return answer


async def running(engine: Engine, run: str, count: int) -> None:
    """Once that many steps have a worker."""
    while True:
        driver = engine.live(run)
        if driver is not None and len(driver.running) == count:
            healths = [lane.health() for lane in engine.lanes.values()]
            busy = sum(len(worker.get("attempts", ())) for one in healths for worker in one.workers)
            if busy == count - 1:  # the coroutine has no worker
                return
        await asyncio.sleep(0.01)


async def test_a_running_engine_tells_runs_steps_lanes_workers_and_metadata(runtime: Path, url: str) -> None:
    async with Engine(url, workers=1, grace=0) as engine:

        async def order() -> Any:
            return await engine.start(SLOW, {})

        handle = await aio.create_task(order(), metadata={"correlation_id": "order-42"})
        async with asyncio.timeout(50):
            await running(engine, handle.id, 3)
        (path,) = ps.sockets(runtime)
        state = await ask(path, {"ask": "state"})
        assert (state["pid"], state["store"]) == (os.getpid(), url)
        (run,) = state["runs"]
        assert (run["id"], run["workflow"], run["correlation_id"]) == (handle.id, "slow", "order-42")
        steps = {step["task"]: step for step in run["running"]}
        assert {task: step["lane"] for task, step in steps.items()} == {
            "waits_for_ever": "loop",
            "busy_in_a_thread": "thread",
            "busy_in_an_interpreter": "interpreter",
        }
        assert steps["busy_in_an_interpreter"]["worker"].startswith("interpreter-")
        assert steps["busy_in_an_interpreter"]["pid"] != os.getpid()
        assert steps["busy_in_a_thread"]["worker"].startswith("laneway-thread-")
        assert all(step["state"] == "running" and step["age"] >= 0 for step in steps.values())
        assert steps["busy_in_an_interpreter"]["metadata"] == {
            "operation_name": "busy_in_an_interpreter",
            "correlation_id": "order-42",
            "priority_hint": 0,
        }
        lanes = {lane["lane"]: lane for lane in state["lanes"]}
        assert lanes["interpreter"]["running"] == lanes["thread"]["running"] == 1
        await handle.cancel()
    assert not ps.sockets(runtime)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "laneway", *arguments], capture_output=True, text=True, timeout=40, check=False
    )


async def test_the_command_shows_it_from_another_process_and_cancels(
    runtime: Path, tmp_path: Path, url: str
) -> None:
    async with Engine(url, grace=0) as engine:
        handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
        shown = await asyncio.to_thread(cli, "ps", "--store", url)
        assert shown.returncode == 0, shown.stderr
        assert handle.id in shown.stdout
        assert "waits_for_ever  loop" in shown.stdout
        listed = await asyncio.to_thread(cli, "ps", "--json")
        assert json.loads(listed.stdout)[0]["runs"][0]["id"] == handle.id
        other = await asyncio.to_thread(cli, "ps", "--store", f"sqlite:///{tmp_path}/other.db")
        assert "no engine of this user is running" in other.stdout
        stopped = await asyncio.to_thread(cli, "ps", "--cancel", handle.id[:23])
        assert stopped.stdout == f"run {handle.id}: cancelled\n"
        assert (await handle.result(check=False)).status == "cancelled"


async def test_watching_shows_what_changes_until_it_is_interrupted(runtime: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "laneway", "ps", "--watch", "--every", "0.1", "--json"]
    watching = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert watching.stdout is not None
    text, decoder = "", json.JSONDecoder()

    async def shown() -> list[Any]:
        """The next of what it shows."""
        nonlocal text
        while True:
            try:
                found, end = decoder.raw_decode(text.lstrip())
            except json.JSONDecodeError:
                assert watching.stdout is not None
                text += (await watching.stdout.read(65536)).decode()
                continue
            text = text.lstrip()[end:]
            assert isinstance(found, list)
            return found

    async with asyncio.timeout(40):
        assert await shown() == []
        pool = Pool("printer", slots=1)
        async with Engine("memory://", grace=0, pools=[pool]) as engine:
            handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
            while not (states := await shown()) or not states[0]["runs"]:
                pass
            assert states[0]["runs"][0]["id"] == handle.id
            assert states[0]["pools"]["printer"]["capacity"] == 1
            plain = await asyncio.to_thread(cli, "ps")
            assert "pool printer: 0 of 1 used, 0 waiting" in plain.stdout
            await handle.cancel()
            while (await shown())[0]["runs"]:
                pass
        while await shown():
            pass
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 0


async def test_the_socket_is_the_users_own(runtime: Path) -> None:
    async with Engine("memory://"):
        (path,) = ps.sockets(runtime)
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0


async def test_a_folder_that_others_may_enter_is_not_used(runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    async with Engine("memory://") as engine:
        result = await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]})
        assert result.status == "succeeded"
        assert not ps.sockets(runtime)


async def test_a_process_of_another_user_gets_no_answer(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Someone:
        def getsockopt(self, *_: object) -> bytes:
            return ps._CREDENTIALS.pack(1, os.getuid() + 1, 1)

    someone: Any = Someone()
    assert not ps._is_same_user(someone)
    async with Engine("memory://"):
        (path,) = ps.sockets(runtime)
        monkeypatch.setattr(ps, "_is_same_user", lambda _: False)
        assert await asyncio.to_thread(ps.ask, path, {"ask": "state"}) is None


def test_sockets_of_dead_engines_are_removed(runtime: Path) -> None:
    ps.make_private(runtime)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    path = runtime / f"{gone.stdout.strip()}-abc.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    assert path.exists()
    assert ps.state_of_all(runtime) == []
    assert not path.exists()


async def test_questions_that_make_no_sense_get_an_error_and_the_next_one_an_answer(runtime: Path) -> None:
    async with Engine("memory://"):
        (path,) = ps.sockets(runtime)
        reader, writer = await asyncio.open_unix_connection(path)
        for line in (
            b"nonsense\n",
            b'{"ask":"fly"}\n',
            b'{"ask":"cancel","run":"none"}\n',
            b'{"ask":"state"}\n',
        ):
            writer.write(line)
        answers = [json.loads(await reader.readline()) for _ in range(4)]
        writer.close()
        await writer.wait_closed()
        assert all("error" in answer for answer in answers[:3])
        assert answers[3]["runs"] == []


async def test_a_program_can_hide_its_engines(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWAY_PS", "off")
    async with Engine("memory://"):
        assert not ps.sockets(runtime)


def test_a_stores_name_has_no_password() -> None:
    class Far:
        url = "postgresql://ann:secret@host:5432/db"

    far: Any = Far()
    assert store_name(far) == "postgresql://ann:***@host:5432/db"
    assert store_name(store_from("memory://", durability="commit")) == "memory://"


PROGRAM = """
import asyncio
from laneway import Engine, Workflow, task

@task
async def charge_card():
    print("ready", flush=True)
    await asyncio.Event().wait()

async def main():
    async with Engine("memory://") as engine:
        await engine.run(Workflow("order", [charge_card]), {})

asyncio.run(main())
"""


def test_pythons_own_pstree_names_the_running_steps(runtime: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            shown = subprocess.run(
                [sys.executable, "-m", "asyncio", "pstree", str(program.pid)],
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
    assert "charge_card [" in shown.stdout
