"""Ctrl-C, termination and kill -9: what is kept, how soon it is over, how it goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from tests.integration.cli.conftest import Laneway

type Start = Callable[..., subprocess.Popen[str]]

GATED = ("run", "flow.py:flow", "-c", "n=100", "-c", "gate=open")
"""Does twenty of its items and waits in the next ones until the file `open` is there."""


def _wait_for_steps(folder: Path, number: int) -> None:
    """Wait until the store has that many finished items."""
    until = time.monotonic() + 30
    while _finished(folder / "laneway.db") < number:
        assert time.monotonic() < until, "the run did not get that far"


def _finished(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            query = "select count(*) from step where item >= 0 and status = 'succeeded'"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the schema is not there yet
            return 0


def _wait_until_told(process: subprocess.Popen[str]) -> str:
    """Wait until the command says that it stops; gives what it said so far."""
    assert process.stderr is not None
    said = ""
    while "Ctrl-C again" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    process = started(*GATED)
    _wait_for_steps(folder, 5)
    os.killpg(process.pid, signal.SIGINT)
    said = _wait_until_told(process)
    (folder / "open").touch()
    assert process.stderr is not None
    said += process.stderr.read()
    assert process.wait(20) == 3
    assert "Ctrl-C again stops at once" in said
    assert said.rstrip().endswith("laneway run flow.py:flow -c n=100 -c gate=open")
    assert "Traceback" not in said
    done = laneway(*GATED, "--json")
    assert done.returncode == 0, done.stderr
    assert "going on with run" in done.stderr
    result = json.loads(done.stdout)
    assert result["kept"] >= 6
    assert result["context"]["total"] == sum(2 * one for one in range(100))


def test_a_second_ctrl_c_ends_the_program_at_once(started: Start) -> None:
    fastest = float("inf")
    for _ in range(3):  # the quickest counts: other programs hold this one up as well
        process = started("run", "flow.py:flow", "-c", "n=4", "-c", "pause=30", "--new")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("sum  run ")
        os.killpg(process.pid, signal.SIGINT)
        _wait_until_told(process)
        began = time.monotonic()
        while process.poll() is None:  # signals that come together count as one key press: press again
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        fastest = min(fastest, time.monotonic() - began)
        assert process.returncode == 3
        if fastest < 2:
            break
    assert fastest < 2


def test_a_killed_run_goes_on_without_repeating_finished_steps(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    process = started(*GATED)
    _wait_for_steps(folder, 10)
    process.kill()
    process.wait()
    before = json.loads(laneway("runs", "show", "latest", "--json").stdout)
    kept = {step["key"]: step["attempts"] for step in before["steps"] if step["status"] == "succeeded"}
    (folder / "open").touch()
    done = laneway(*GATED, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["id"] == before["id"]
    after = {step["key"]: step["attempts"] for step in result["steps"] if step["task"] == "double"}
    assert all(after[key] == attempts for key, attempts in kept.items() if key is not None)
    assert f"kept {len(kept)} finished steps" in done.stderr


def test_new_starts_afresh_and_another_context_is_another_run(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    process = started(*GATED)
    _wait_for_steps(folder, 2)
    process.kill()
    process.wait()
    unfinished = json.loads(laneway("runs", "list", "--json").stdout)[0]["id"]
    other = json.loads(laneway("run", "flow.py:flow", "-c", "n=2", "--json").stdout)
    assert other["id"] != unfinished
    (folder / "open").touch()
    fresh = laneway(*GATED, "--new", "--json")
    assert json.loads(fresh.stdout)["id"] != unfinished
    named = laneway("run", "flow.py:flow", "--resume", unfinished, "--json")
    assert json.loads(named.stdout)["id"] == unfinished


def test_a_run_that_another_program_drives_is_left_alone_and_can_be_cancelled(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    process = started(*GATED)
    _wait_for_steps(folder, 2)
    run = json.loads(laneway("runs", "list", "--json").stdout)[0]["id"]
    taken = laneway("run", "flow.py:flow", "--resume", run)
    assert taken.returncode == 1
    assert f"laneway runs watch {run}" in taken.stderr
    assert laneway("runs", "cancel", run).returncode == 0
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert json.loads(laneway("runs", "show", run, "--json").stdout)["status"] == "cancelled"


def test_an_interrupted_run_that_nobody_drives_can_be_cancelled(
    laneway: Laneway, started: Start, folder: Path
) -> None:
    process = started(*GATED)
    _wait_for_steps(folder, 2)
    process.kill()
    process.wait()
    done = laneway("runs", "cancel", "latest")
    assert done.returncode == 0
    assert "cancelled" in done.stdout
    shown = json.loads(laneway("runs", "show", "latest", "--json").stdout)
    assert shown["status"] == "cancelled"


def test_termination_is_as_graceful_as_ctrl_c(laneway: Laneway, started: Start, folder: Path) -> None:
    process = started(*GATED, "--json")
    _wait_for_steps(folder, 2)
    process.send_signal(signal.SIGTERM)
    _wait_until_told(process)
    (folder / "open").touch()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 3
    assert json.loads(out)["status"] == "interrupted"
