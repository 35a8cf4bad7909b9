"""`laneway worker` as people use it: routing, log lines, stopping, and what it says when something is missing."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from brokers import Broker
from celery_losses import Start
from far_steps import described

import laneway
from laneway import Engine

pytestmark = pytest.mark.redis


def told(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
    return subprocess.run(
        [sys.executable, "-m", "laneway", "worker", *arguments],
        env={**kept, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


async def test_steps_go_to_the_workers_of_their_queue_and_their_log_lines_say_whose_they_are(
    broker: Broker, workers: Start
) -> None:
    io = workers(broker, "--queue", "io")
    cpu = workers(broker, "--queue", "cpu", "--concurrency", "1")
    assert " takes io from " in io.ready().out
    assert ", 32 steps at once" in io.out
    assert " takes cpu from " in cpu.ready().out
    assert ", 1 step at once" in cpu.out
    async with Engine("memory://", broker=broker.url) as engine:
        result = await engine.run(described, {"text": "this"}, tags={"correlation_id": "order-42"})
    assert [result.context["waits"]["queue"], result.context["computes"]["queue"]] == ["io", "cpu"]
    first, second = result.steps
    assert str(io.process.pid) in first.attempts[0].worker
    assert str(cpu.process.pid) in second.attempts[0].worker
    place = "process" if engine.fleet.no_interpreters else "interpreter"
    assert place in second.attempts[0].worker
    assert [first.output, second.output] == ["printed this\n", ""]
    assert result.context["waits"]["pid"] != str(io.process.pid), "a worker's own process runs no task"
    assert [io.end(), cpu.end()] == [0, 0]
    lines = {
        line["task"]: line
        for worker in (io, cpu)
        for line in map(json.loads, worker.err.splitlines())
        if line["logger"] == "far"
    }
    for task, text in (("waits", "logged this"), ("computes", "computed after io")):
        line = lines[task]
        assert line["event"] == text
        assert (line["run"], line["workflow"], line["attempt"]) == (result.id, "described", 1)
        assert line["lane"] == "celery"
        assert line["correlation_id"]
    assert lines["waits"]["correlation_id"] == lines["computes"]["correlation_id"]
    assert "this" not in io.err.replace("logged this", ""), "what tasks are given is in no log line"


def test_worker_without_a_broker_is_told_to_name_one() -> None:
    done = told()
    assert done.returncode == 2
    assert "--broker redis://HOST/0" in done.stderr
    assert "LW-SET-001" in done.stderr


def test_broker_that_does_not_answer_is_named_without_its_password() -> None:
    done = told("--broker", "amqp://me:secret@127.0.0.1:1//")
    assert done.returncode == 1
    assert "amqp://me:***@127.0.0.1:1// cannot be reached" in done.stderr
    assert "LW-CLI-009" in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_nonsense_instead_of_a_broker_is_refused_in_one_line() -> None:
    done = told("--broker", "nonsense://somewhere")
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_queue_is_refused_with_those_there_are() -> None:
    done = told("--queue", "gpu", "--broker", "redis://127.0.0.1:1/0")
    assert done.returncode == 2
    assert "io" in done.stderr
    assert "cpu" in done.stderr


def without_celery(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where everything is installed but Celery."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for one in Path(sysconfig.get_path("purelib")).iterdir():
        if not one.name.startswith(("celery", "kombu", "__pycache__")) and not one.name.endswith(".pth"):
            (packages / one.name).symlink_to(one)
    home = Path(laneway.__file__).parents[1]
    code = (
        f"import sys; sys.path[:0] = [{str(home)!r}, {str(packages)!r}]\n"
        f"sys.argv = ['laneway', *{list(arguments)!r}]\n"
        "from laneway.cli import main; sys.exit(main())"
    )
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LANEWAY_", "PYTHONPATH"))
    }
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        env={**kept, "LANEWAY_CELERY_BROKER": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_worker_without_celery_names_the_extra(tmp_path: Path) -> None:
    done = without_celery(tmp_path, "worker")
    assert done.returncode == 1
    assert "pip install 'laneway[celery]'" in done.stderr
    assert "LW-CLI-008" in done.stderr


def test_workflow_that_needs_celery_is_refused_before_it_runs_and_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(
        "from laneway import Workflow, task\n"
        "@task(lane='celery')\n"
        "def step() -> int:\n    return 1\n"
        "flow = Workflow('far', [step])\n"
    )
    done = without_celery(tmp_path, "run", "far:flow", "--store", "memory://")
    assert done.returncode == 2
    assert "pip install 'laneway[celery]'" in done.stderr


def test_script_is_refused_before_it_runs_because_workers_cannot_find_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import laneway\n"
        "from laneway import Workflow, task\n"
        "@task(lane='celery')\n"
        "def step() -> int:\n    return 1\n"
        "if __name__ == '__main__':\n    laneway.run(Workflow('far', [step]), store='memory://')\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "LANEWAY_CELERY_BROKER": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "lives in a script" in done.stderr


def test_doctor_shows_the_broker_without_its_password() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "laneway", "doctor", "--store", "memory://"],
        env={**os.environ, "LANEWAY_CELERY_BROKER": "amqp://me:secret@rabbit.example//"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "amqp://me:***@rabbit.example//" in done.stdout
    assert "secret" not in done.stdout + done.stderr
