"""`laneway serve`: a real server, called over real connections, and stopped."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cli.conftest import Laneway

type Start = Callable[..., subprocess.Popen[str]]

TOKEN = "a-token-of-some-length"
FLOW = """
import asyncio
from pathlib import Path
from laneway import Workflow, task

@task
async def greet(name: str) -> str:
    return f"hello {name}"

@task
async def slow(seconds: float) -> float:
    Path("began").touch()
    await asyncio.sleep(seconds)
    return seconds

hello = Workflow("hello", [greet])
sleepy = Workflow("sleepy", [slow])
"""
MANIFEST = """
[package]
name = "shop"
version = "1.0"
entry_module = "shop_tasks"

[schedule.nightly]
workflow = "hello"
cron = "30 2 * * *"

[trigger.greet]
workflow = "hello"
http = true
fields = { name = "string" }
key = "name"
"""


@pytest.fixture(autouse=True)
def _flow(folder: Path) -> None:
    (folder / "calls.py").write_text(FLOW)


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    line = server.stderr.readline()
    assert line.startswith("serving "), line + server.stderr.read()
    return line.partition(" at ")[2].partition(";")[0]


def call(
    url: str, body: Any = None, method: str | None = None, /, **headers: str
) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    sent = {
        "Content-Type": "application/json",
        **{name.replace("_", "-"): one for name, one in headers.items()},
    }
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_calls_and_leaves_on_a_signal(laneway: Laneway, started: Start, number: int) -> None:
    server = started("serve", "calls.py:hello", "--port", "0")
    url = address_of(server)
    assert url.startswith("http://127.0.0.1:")
    assert call(f"{url}/health")[1]["status"] == "ok"
    first = call(f"{url}/triggers/hello", {"name": "Ann"}, Idempotency_Key="1")
    again = call(f"{url}/triggers/hello", {"name": "Ann"}, Idempotency_Key="1")
    assert (first[0], again[0], first[1]["run"]) == (202, 202, again[1]["run"])
    assert call(f"{url}/triggers/hello", {"nam": "Ann"})[0] == 422
    os.killpg(server.pid, number)
    _, said = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in said
    (run,) = json.loads(laneway("runs", "list", "--json").stdout)
    assert (run["id"], run["status"]) == (first[1]["run"], "succeeded")


def test_running_steps_get_their_grace_and_a_second_signal_ends_it_at_once(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    server = started("serve", "calls.py:sleepy", "--port", "0")
    url = address_of(server)
    call(f"{url}/triggers/sleepy", {"seconds": 0.5})
    wait_for(folder / "began")
    os.killpg(server.pid, signal.SIGTERM)
    server.communicate(timeout=20)
    (run,) = json.loads(laneway("runs", "list", "--json").stdout)
    assert run["status"] == "succeeded"
    (folder / "began").unlink()
    server = started("serve", "calls.py:sleepy", "--port", "0")
    call(f"{address_of(server)}/triggers/sleepy", {"seconds": 60})
    wait_for(folder / "began")
    os.killpg(server.pid, signal.SIGINT)
    until = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < until:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert server.returncode == 3


def test_runs_of_a_server_that_was_killed_go_on_with_the_next(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    server = started("serve", "calls.py:sleepy", "--port", "0")
    call(f"{address_of(server)}/triggers/sleepy", {"seconds": 1.0})
    wait_for(folder / "began")
    os.killpg(server.pid, signal.SIGKILL)
    server.communicate(timeout=20)
    (folder / "began").unlink()
    server = started("serve", "calls.py:sleepy", "--port", "0")
    address_of(server)
    wait_for(folder / "began")
    os.killpg(server.pid, signal.SIGTERM)
    server.communicate(timeout=20)
    (run,) = json.loads(laneway("runs", "list", "--json").stdout)
    assert run["status"] == "succeeded"


def wait_for(file: Path) -> None:
    until = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < until


def test_a_packages_triggers_and_schedules_come_with_it_and_stay_in_the_store(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    (folder / "shop" / "src").mkdir(parents=True)
    (folder / "shop" / "laneway.toml").write_text(MANIFEST)
    tasks = FLOW.partition("sleepy = ")[0].replace("Path", "str").replace("from pathlib import str\n", "")
    (folder / "shop" / "src" / "shop_tasks.py").write_text(tasks)
    for target in (["shop"], []):
        server = started("serve", *target, "--port", "0")
        url = address_of(server)
        status, told = call(f"{url}/triggers/shop/greet", {"name": "Ann"})
        assert (status, told["new"]) == (202, bool(target))
        assert call(f"{url}/triggers/shop/greet", {"name": 5})[0] == 422
        assert call(f"{url}/triggers/hello", {"name": "Ann"})[0] == (202 if target else 404)
        os.killpg(server.pid, signal.SIGINT)
        server.communicate(timeout=20)
    (job,) = json.loads(laneway("schedule", "list", "--json").stdout)
    assert job["name"] == "shop/nightly"


def test_with_a_token_callers_need_it(started: Start) -> None:
    server = started("serve", "calls.py:hello", "--port", "0", "--host", "0.0.0.0", "--token", TOKEN)
    url = address_of(server).replace("0.0.0.0", "127.0.0.1")
    assert call(f"{url}/triggers/hello", {"name": "a"})[0] == 401
    assert call(f"{url}/triggers/hello", {"name": "a"}, Authorization=f"Bearer {TOKEN}")[0] == 202
    assert call(f"{url}/health")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "said"),
    [
        (["--host", "0.0.0.0"], {}, 2, "Give a token"),
        (["--token", "short"], {}, 2, "16 printable ASCII characters"),
        ([], {"LANEWAY_TOKEN": "has a space in the middle"}, 2, "16 printable ASCII characters"),
        (["--secret", "github"], {}, 2, "NAME=FILE"),
        (["--secret", "github=nowhere"], {}, 2, "cannot be read"),
        (["--port", "70000"], {}, 2, "70000"),
        (["nothing.py:flow"], {}, 2, "cannot find"),
        (["--host", "203.0.113.7", "--token", TOKEN], {}, 1, "cannot listen at 203.0.113.7"),
    ],
)
def test_mistakes_are_told(
    laneway: Laneway, arguments: list[str], variables: dict[str, str], status: int, said: str
) -> None:
    answer = laneway("serve", "--port", "0", *arguments, **variables)
    assert answer.returncode == status
    assert said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert TOKEN not in answer.stderr


def test_a_port_that_is_taken_is_told(laneway: Laneway) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = laneway("serve", "--port", str(taken.getsockname()[1]))
    assert answer.returncode == 1
    assert "--port 0 takes one that is" in answer.stderr


def test_without_the_extra_it_says_which_one_is_missing(laneway: Laneway, folder: Path) -> None:
    (folder / "starlette.py").write_text("raise ImportError('No module named starlette')\n")
    answer = laneway("serve", "--port", "0")
    assert answer.returncode == 1
    assert "pip install 'laneway[web]'" in answer.stderr
    (folder / "starlette.py").unlink()
    (folder / "uvicorn.py").write_text("raise ImportError('No module named uvicorn')\n")
    answer = laneway("serve", "--port", "0")
    assert answer.returncode == 1
    assert "pip install 'laneway[web]'" in answer.stderr
