"""`laneway schedule`, as people and programs use it."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

type Laneway = Callable[..., subprocess.CompletedProcess[str]]
type Started = Callable[..., subprocess.Popen[str]]

MANIFEST = """
[package]
name = "reports"
version = "1.0"
entry_module = "reports"

[workflows.nightly]
tasks = ["hello"]

[schedule.every-night]
workflow = "nightly"
cron = "30 2 * * *"
timezone = "Europe/Berlin"
misfire = "all"
misfire_limit = 3
"""


def said(answer: subprocess.CompletedProcess[str]) -> Any:
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_job_is_added_listed_paused_resumed_and_removed(laneway: Laneway) -> None:
    every = ["--cron", "0 3 * * *", "--timezone", "Europe/Berlin", "-c", "text=5"]
    assert laneway("schedule", "add", "nightly", "flow.py:parsing", *every).returncode == 0
    (job,) = said(laneway("schedule", "list", "--json"))
    assert (job["name"], job["cron"], job["parameters"]) == ("nightly", "0 3 * * *", {"text": 5})
    assert job["target"].startswith("/")
    moments = said(laneway("schedule", "next", "nightly", "--count", "2", "--json"))
    assert [moment[11:19] for moment in moments] == ["03:00:00", "03:00:00"]
    assert said(laneway("schedule", "pause", "nightly", "--json"))["paused"]
    assert "paused" in laneway("schedule", "list").stdout
    assert not said(laneway("schedule", "resume", "nightly", "--json"))["paused"]
    assert laneway("schedule", "remove", "nightly").returncode == 0
    assert said(laneway("schedule", "list", "--json")) == []


def test_mistakes_are_told_with_what_to_do(laneway: Laneway) -> None:
    wrong = laneway("schedule", "add", "x", "flow.py:parsing", "--cron", "99 * * * *")
    assert wrong.returncode == 2
    assert "not a cron expression" in wrong.stderr
    zone = ["--every", "5m", "--timezone", "Europe/Berln"]
    assert "did you mean 'Europe/Berlin'" in laneway("schedule", "add", "x", "flow.py:parsing", *zone).stderr
    assert laneway("schedule", "add", "x", "flow.py:parsing").returncode == 2
    assert "no duration" in laneway("schedule", "add", "x", "flow.py:parsing", "--every", "soon").stderr
    laneway("schedule", "add", "nightly", "flow.py:parsing", "--every", "1h")
    assert "Did you mean 'nightly'?" in laneway("schedule", "pause", "nightyl").stderr
    backwards = laneway("schedule", "backfill", "nightly", "--from", "2026-02-01", "--to", "2026-01-01")
    assert (backwards.returncode, "ends before it begins" in backwards.stderr) == (2, True)
    assert "a package's folder alone" in " ".join(laneway("schedule", "add", "nightly").stderr.split())


def test_moments_without_an_offset_count_in_the_time_zone(laneway: Laneway) -> None:
    berlin = ["--timezone", "Europe/Berlin"]
    added = laneway("schedule", "add", "once", "flow.py:parsing", "--at", "2027-07-01T10:00", *berlin)
    assert added.stdout == "job once: 2027-07-01 10:00:00 CEST\n"
    assert "whoever schedules on this store" in added.stderr
    laneway("schedule", "add", "nightly", "flow.py:parsing", "--cron", "0 3 * * *", *berlin)
    day = ["--from", "2026-07-01", "--to", "2026-07-01T03:00"]
    (firing,) = said(laneway("schedule", "backfill", "nightly", *day, "--json"))
    assert firing["due"] == "2026-07-01T01:00:00Z"
    assert "2026-07-01 01:00:00 UTC" in laneway("schedule", "history", "nightly").stdout


def test_where_there_is_nothing_to_show_it_says_so(laneway: Laneway) -> None:
    laneway("schedule", "add", "nightly", "flow.py:parsing", "--every", "1h", "--paused")
    assert "no due moments" in laneway("schedule", "history").stderr
    assert "paused or over" in laneway("schedule", "next", "nightly").stderr
    early = laneway("schedule", "backfill", "nightly", "--from", "2020-01-01", "--to", "2020-01-02")
    assert (early.returncode, "no due moments" in early.stderr) == (0, True)
    assert "whoever schedules on this store" in laneway("schedule", "run", "nightly").stderr


def test_termination_gives_a_running_job_its_grace_and_the_next_scheduler_goes_on(
    laneway: Laneway, started: Started, folder: Path
) -> None:
    slow = [
        "import asyncio",
        "from pathlib import Path",
        "from laneway import Workflow, task",
        "@task",
        "async def wait(seconds: float) -> None:",
        "    Path('began').touch()",
        "    await asyncio.sleep(seconds)",
        "flow = Workflow('wait', [wait])",
    ]
    (folder / "slow.py").write_text("\n".join(slow))
    laneway("schedule", "add", "nightly", "slow.py:flow", "--cron", "0 3 * * *", "-c", "seconds=0.7")
    laneway("schedule", "run", "nightly")
    server = started("schedule", "start")
    wait_for(lambda: (folder / "began").exists())
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=20) == 0
    assert server.stderr is not None
    assert "stopping; what runs has 5 s to end" in server.stderr.read()
    assert [one["status"] for one in history(laneway)] == ["succeeded"]


def test_a_running_scheduler_sees_at_once_what_another_program_adds_and_asks(
    laneway: Laneway, started: Started
) -> None:
    laneway("schedule", "add", "nightly", "flow.py:parsing", "--cron", "0 3 * * *", "-c", "text=7")
    server = started("schedule", "start")
    assert server.stderr is not None
    assert "scheduling 1 job" in server.stderr.readline()
    laneway("schedule", "run", "nightly")
    laneway("schedule", "backfill", "nightly", "--from", "2026-01-01", "--to", "2026-01-02")
    wait_for(lambda: [one["status"] for one in history(laneway)] == ["succeeded"] * 2)
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=20) == 0
    keys = [one["key"] for one in said(laneway("runs", "list", "--json"))]
    assert "schedule:nightly@2026-01-01T03:00:00+00:00" in keys
    assert len(keys) == 2


def test_a_second_scheduler_says_that_it_stands_by_and_takes_over(laneway: Laneway, started: Started) -> None:
    laneway("schedule", "add", "nightly", "flow.py:parsing", "--cron", "0 3 * * *", "-c", "text=7")
    first = started("schedule", "start")
    assert first.stderr is not None
    assert first.stderr.readline().startswith("scheduling 1 job(s) and 0 trigger(s)")
    second = started("schedule", "start")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("another program schedules; standing by for 1 job(s)")
    first.kill()
    laneway("schedule", "run", "nightly")
    wait_for(lambda: [one["status"] for one in history(laneway)] == ["succeeded"])


def history(laneway: Laneway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = said(laneway("schedule", "history", "nightly", "--json"))
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until


def test_a_packages_schedules_are_added_by_its_name(laneway: Laneway, folder: Path) -> None:
    package = folder / "reports"
    (package / "src").mkdir(parents=True)
    (package / "laneway.toml").write_text(MANIFEST)
    (package / "src" / "reports.py").write_text(
        "from laneway import task\n\n@task\ndef hello() -> int:\n    return 1\n"
    )
    (job,) = said(laneway("schedule", "add", "reports", "--json"))
    assert (job["name"], job["misfire"], job["misfire_limit"]) == ("reports/every-night", "all", 3)
    assert job["target"].endswith("reports#nightly")
