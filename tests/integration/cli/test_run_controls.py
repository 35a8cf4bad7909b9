"""`laneway runs cancel | pause | resume | retry | fork | signal`, with and without an engine in another program."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cli.conftest import Laneway, environment

FLOW = """
import asyncio, os, sys
from pathlib import Path
from laneway import Engine, Workflow, task, wait_for_signal

@task
def first(n: int) -> int:
    return n + 1

@task
async def gated(first: int, gate: str) -> int:
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    return first * 10

@task
def last(gated: int) -> int:
    return gated + 1

@task
def approved():
    return wait_for_signal("ok")

@task
def parse(text: str) -> int:
    return int(text)

@task
def doubled(parse: int) -> int:
    return parse * 2

flow = Workflow("gated", [first, gated, last])
asking = Workflow("asking", [approved])
parsing = Workflow("parsing", [parse, doubled])

async def serve():
    async with Engine("sqlite:///laneway.db", workflows=[asking]) as engine:
        print("serving", flush=True)
        while not any(one["status"] == "succeeded" for one in await engine.find()):
            await asyncio.sleep(0.05)

if __name__ == "__main__":
    asyncio.run(serve())
"""

type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


def rows(laneway: Laneway, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(laneway("runs", "list", "--json", *arguments).stdout)
    return found


def begun(laneway: Laneway, started: Start, *more: str) -> tuple[subprocess.Popen[str], str]:
    """The gated flow in another program, its first step committed and the second one running; with its run."""
    program = started("run", "flow.py:flow", "-c", "n=1", "-c", "gate=open", *more)
    run = ""

    def is_begun() -> bool:
        nonlocal run
        assert program.poll() is None, program.communicate()
        shown = laneway("runs", "show", "latest", "--json")
        if shown.returncode == 0:
            run = json.loads(shown.stdout)["id"]
        return shown.returncode == 0 and any(
            one["task"] == "first" for one in json.loads(shown.stdout)["steps"]
        )

    wait_until(is_begun)
    return program, run


def live(laneway: Laneway, run: str) -> str | None:
    """What the engine that drives the run says of it."""
    engines = json.loads(laneway("ps", "--json").stdout)
    return next((one["status"] for engine in engines for one in engine["runs"] if one["id"] == run), None)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"


def test_a_run_in_another_program_is_cancelled(laneway: Laneway, started: Start) -> None:
    program, run = begun(laneway, started)
    assert rows(laneway)[0]["standing"] == "driven"
    done = laneway("runs", "cancel", "latest", "--json")
    assert json.loads(done.stdout) == {"id": run, "before": "running", "status": "cancelled"}
    assert program.wait(20) == 3
    again = laneway("runs", "cancel", run)
    assert (again.returncode, again.stdout) == (0, f"run {run} had cancelled already\n")


def test_a_run_in_another_program_is_paused_and_goes_on_here_with_its_steps(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    program, run = begun(laneway, started)
    asked = laneway("runs", "pause", "latest", "--no-wait")
    assert "was asked to pause it and has steps to finish first" in asked.stdout
    wait_until(lambda: live(laneway, run) == "pause")
    (folder / "open").touch()
    assert program.wait(20) == 3
    said = laneway("runs", "pause", run)
    assert f"paused; `laneway runs resume {run}` goes on" in said.stdout, said
    assert rows(laneway, "--status", "paused")[0]["standing"] == "free"
    done = laneway("runs", "resume", run)
    assert done.returncode == 0, done.stderr
    assert "kept" in done.stderr
    assert "last = 21" in done.stdout


def test_a_run_whose_program_was_killed_is_told_apart_and_goes_on(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    program, run = begun(laneway, started)
    os.kill(program.pid, signal.SIGKILL)
    program.wait(20)
    (row,) = rows(laneway)
    assert (row["status"], row["standing"]) == ("running", "gone")
    listed = laneway("runs", "list")
    assert "running (its program is gone" in listed.stdout
    assert "laneway runs resume RUN" in listed.stderr
    assert "its program is gone" in laneway("runs", "show", run).stdout
    (folder / "open").touch()
    done = laneway("runs", "resume", run[:20], "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["context"]["last"], answer["kept"]) == (21, 1)


def test_a_driven_run_is_not_resumed_twice(laneway: Laneway, started: Start) -> None:
    begun(laneway, started)
    refused = laneway("runs", "resume", "latest")
    assert refused.returncode == 1
    assert "driven by another program" in refused.stderr
    assert "laneway runs watch" in refused.stderr
    retried = laneway("runs", "retry", "latest")
    assert retried.returncode == 1
    assert "Cancel or pause it first" in retried.stderr


def test_a_failed_run_is_retried_with_another_context_and_a_finished_one_as_a_whole(laneway: Laneway) -> None:
    failed = laneway("run", "flow.py:parsing", "-c", "text=abc")
    assert failed.returncode == 1
    still = laneway("runs", "retry", "latest")
    assert (still.returncode, "invalid literal" in still.stderr) == (1, True)
    done = laneway("runs", "retry", "latest", "--set", 'text="21"', "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["context"]["doubled"] == 42
    whole = laneway("runs", "retry", "latest", "--all", "--set", 'text="5"')
    assert "doubled = 10" in whole.stdout
    assert len(rows(laneway)) == 1
    over = laneway("runs", "resume", "latest")
    assert over.returncode == 1
    assert "has succeeded already" in over.stderr
    assert "laneway runs fork" in over.stderr


def test_a_fork_takes_over_results_and_leaves_its_source(laneway: Laneway) -> None:
    source = json.loads(laneway("run", "flow.py:parsing", "-c", 'text="4"', "--json").stdout)["id"]
    refused = laneway("runs", "fork", source, "--from", "dubled")
    assert refused.returncode == 2
    assert "It has parse, doubled" in refused.stderr
    done = laneway("runs", "fork", source, "--from", "doubled", "--key", "once", "--json")
    forked = json.loads(done.stdout)
    assert (forked["context"]["doubled"], forked["kept"]) == (8, 1)
    assert forked["id"] != source
    same = json.loads(laneway("runs", "fork", source, "--from", "doubled", "--key", "once", "--json").stdout)
    assert same["id"] == forked["id"], "a key gives the run that has it"
    shown = json.loads(laneway("runs", "show", forked["id"], "--json").stdout)
    assert shown["origin"] == source
    assert [one["status"] for one in rows(laneway)] == ["succeeded", "succeeded"]


def test_a_signal_waits_with_its_run_until_somebody_goes_on_with_it(laneway: Laneway) -> None:
    assert laneway("run", "flow.py:asking").returncode == 4
    sent = laneway("runs", "signal", "latest", "ok", '{"by": "me"}')
    assert sent.returncode == 0, sent.stderr
    assert "No program drives it now" in sent.stdout
    done = laneway("runs", "resume", "latest", "--json")
    assert json.loads(done.stdout)["context"]["approved"] == {"by": "me"}
    late = laneway("runs", "signal", "latest", "ok")
    assert late.returncode == 1
    assert "has succeeded already" in late.stderr


def test_a_signal_wakes_a_run_in_an_engine_that_has_its_workflow(laneway: Laneway, folder: Path) -> None:
    serving = subprocess.Popen(
        [sys.executable, "flow.py"], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "serving\n"
        assert laneway("run", "flow.py:asking").returncode == 4
        assert laneway("runs", "signal", "latest", "ok", "yes").returncode == 0
        assert serving.wait(30) == 0
        assert rows(laneway)[0]["status"] == "succeeded"
    finally:
        serving.kill()
        serving.communicate()


def test_changed_code_is_named_with_the_commands_that_go_on(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    program, run = begun(laneway, started)
    os.kill(program.pid, signal.SIGKILL)
    program.wait(20)
    (folder / "open").touch()
    (folder / "flow.py").write_text(FLOW.replace("first * 10", "first * 100"), "utf-8")
    refused = laneway("runs", "resume", run)
    assert refused.returncode == 1
    assert "task 'gated'" in refused.stderr
    assert f"laneway runs resume {run} --force" in refused.stderr
    assert f"laneway runs fork {run} --from gated" in refused.stderr
    assert "another version of the code" in refused.stderr
    assert rows(laneway)[0]["status"] == "running", "a refusal changes nothing"
    old = folder / "old"
    old.mkdir()
    (old / "flow.py").write_text(FLOW, "utf-8")
    done = laneway("runs", "resume", run, "old/flow.py:flow", "--json")
    assert json.loads(done.stdout)["context"]["last"] == 21


def test_forced_a_run_goes_on_with_changed_code(laneway: Laneway, started: Start, folder: Path) -> None:
    program, run = begun(laneway, started)
    os.kill(program.pid, signal.SIGKILL)
    program.wait(20)
    (folder / "open").touch()
    (folder / "flow.py").write_text(FLOW.replace("first * 10", "first * 100"), "utf-8")
    done = laneway("runs", "resume", run, "--force", "--json")
    assert json.loads(done.stdout)["context"]["last"] == 201


def test_a_run_whose_code_is_not_found_asks_for_it_by_command(laneway: Laneway, folder: Path) -> None:
    assert laneway("run", "flow.py:parsing", "-c", "text=x").returncode == 1
    (folder / "flow.py").rename(folder / "moved.py")
    refused = laneway("runs", "retry", "latest")
    assert refused.returncode == 2
    assert "workflow 'parsing'" in refused.stderr
    assert "laneway runs retry" in refused.stderr
    other = laneway("runs", "retry", "latest", "moved.py:asking")
    assert other.returncode == 2
    assert "one of workflow 'parsing'" in other.stderr
    assert laneway("runs", "retry", "latest", "moved.py:parsing", "--set", 'text="1"').returncode == 0


def test_runs_are_found_by_tag_text_and_time(laneway: Laneway) -> None:
    laneway(
        "run", "flow.py:parsing", "-c", 'text="77"', "--tag", "team=blue", "--tag", "env=prod", "--key", "A-1"
    )
    laneway("run", "flow.py:parsing", "-c", "text=gone", "--tag", "team=blue", "--priority", "3")
    assert [one["key"] for one in rows(laneway, "--tag", "team=blue", "--tag", "env=prod")] == ["A-1"]
    assert [one["status"] for one in rows(laneway, "--search", "INVALID LITERAL")] == ["failed"]
    assert [one["key"] for one in rows(laneway, "--search", "a-1")] == ["A-1"]
    assert len(rows(laneway, "--since", "1h", "--workflow", "parsing")) == 2
    assert rows(laneway, "--since", "2099-01-01") == []
    assert [one["priority"] for one in rows(laneway, "--status", "failed")] == [3]
    assert "team=blue" in laneway("runs", "list").stdout
    refused = laneway("runs", "list", "--since", "yesterday")
    assert refused.returncode == 2
    assert "2h or 30d" in refused.stderr
    assert laneway("runs", "list", "--tag", "team").returncode == 2
    assert "no such runs" in laneway("runs", "list", "--key", "none").stderr


def test_a_deadline_stops_a_run(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:flow", "-c", "n=1", "-c", "gate=never", "--deadline", "1s")
    assert done.returncode == 1
    assert "deadline" in done.stderr


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "retry", "signal"])
def test_without_a_store_or_a_run_commands_say_so_and_make_nothing(
    laneway: Laneway, folder: Path, command: str
) -> None:
    more = ["ok"] if command == "signal" else []
    refused = laneway("runs", command, "latest", *more)
    assert refused.returncode == 1
    assert "there is no store" in refused.stderr
    assert not (folder / "laneway.db").exists()


def test_watching_tells_that_nobody_drives_a_run_and_gives_events_as_json(
    laneway: Laneway, started: Start
) -> None:
    laneway("run", "flow.py:asking")
    watching = started("runs", "watch", "latest", "--json")
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert json.loads(watching.stdout.readline())["kind"] == "run_submitted"
    assert "no program drives it" in watching.stderr.readline()
    laneway("runs", "signal", "latest", "ok")
    laneway("runs", "resume", "latest")
    assert watching.wait(20) == 0


def test_completion_knows_runs_and_their_tasks(laneway: Laneway) -> None:
    def completed(*words: str) -> list[str]:
        done = laneway(
            _LANEWAY_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(["laneway", *words]),
            COMP_CWORD=str(len(words)),
        )
        return [line.removeprefix("plain,") for line in done.stdout.split()]

    assert completed("runs", "show", "l") == []
    laneway("run", "flow.py:parsing", "-c", 'text="1"')
    run = rows(laneway)[0]["id"]
    assert completed("runs", "show", run[:8]) == [run]
    assert run not in completed("runs", "cancel", run[:8])
    assert completed("runs", "fork", run, "--from", "do") == ["doubled"]
    assert completed("runs", "list", "--workflow", "p") == ["parsing"]
