"""`laneway runs`, `tasks`, `doctor`, `completion` and the command itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Laneway, environment


def test_runs_are_listed_newest_first_and_filtered(laneway: Laneway) -> None:
    laneway("run", "flow.py:flow")
    laneway("run", "flow.py:parsing", "-c", "text=abc")
    listed = json.loads(laneway("runs", "list", "--json").stdout)
    assert [row["workflow"] for row in listed] == ["parsing", "sum"]
    failed = json.loads(laneway("runs", "list", "--status", "failed", "--json").stdout)
    assert [row["workflow"] for row in failed] == ["parsing"]
    named = json.loads(laneway("runs", "list", "--workflow", "sum", "--limit", "1", "--json").stdout)
    assert [row["status"] for row in named] == ["succeeded"]
    plain = laneway("runs", "list").stdout.splitlines()
    assert plain[0].split() == ["run", "workflow", "status", "began", "took", "error"]
    assert listed[0]["id"] in plain[1]


def test_looking_for_runs_never_makes_a_store(laneway: Laneway, folder: Path) -> None:
    done = laneway("runs", "list", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert laneway("runs", "show", "latest").returncode == 1
    assert not (folder / "laneway.db").exists()


def test_a_run_is_shown_by_id_by_its_beginning_and_as_latest(laneway: Laneway) -> None:
    run = json.loads(laneway("run", "flow.py:parsing", "-c", "text=abc", "--json").stdout)["id"]
    for name in (run, run[:13], "latest"):
        shown = laneway("runs", "show", name)
        assert shown.returncode == 0, shown.stderr
        assert run in shown.stdout
        assert "ValueError: invalid literal" in shown.stdout
        assert "return int(text)" in shown.stdout
        assert 'text = "abc"' in shown.stdout
    data = json.loads(laneway("runs", "show", run, "--json").stdout)
    assert data["error"]["task"] == "parse"
    assert data["initial"] == {"text": "abc"}
    missing = laneway("runs", "show", "ffffffff")
    assert missing.returncode == 1
    assert "no run 'ffffffff'" in missing.stderr


def test_a_beginning_that_several_runs_share_is_refused_with_their_ids(laneway: Laneway) -> None:
    laneway("run", "flow.py:flow")
    run = json.loads(laneway("run", "flow.py:flow", "--json").stdout)["id"]
    done = laneway("runs", "show", run[:2])
    assert done.returncode == 1
    assert run in done.stderr


def test_the_items_of_a_mapped_task_share_a_line_unless_all_steps_are_asked_for(laneway: Laneway) -> None:
    laneway("run", "flow.py:flow", "-c", "n=7")
    assert "double × 7" in laneway("runs", "show", "latest").stdout
    assert "double[6]" in laneway("runs", "show", "latest", "--steps").stdout


def test_watching_a_finished_run_tells_its_events_and_leaves_with_its_status(laneway: Laneway) -> None:
    laneway("run", "flow.py:parsing", "-c", "text=abc")
    watched = laneway("runs", "watch", "latest")
    assert watched.returncode == 1
    assert "parse failed: ValueError" in watched.stdout


def test_tasks_show_lane_with_reason_dependencies_options_and_source(laneway: Laneway) -> None:
    shown = laneway("tasks", "flow.py:flow").stdout
    assert "Numbers to work on." in shown
    assert "thread: the task asks for it" in shown
    assert "each=numbers" in shown
    assert "flow.py:" in shown
    data = json.loads(laneway("tasks", "flow.py:flow", "--json").stdout)
    assert [one["id"] for one in data["tasks"]] == ["numbers", "double", "total"]
    assert data["tasks"][2]["dependencies"] == ["double"]
    assert all(one["lane"] and one["reason"] for one in data["tasks"])


def test_doctor_tells_build_store_settings_and_parts(laneway: Laneway) -> None:
    laneway("run", "flow.py:flow")
    done = laneway("doctor", "--json", LANEWAY_GRACE="2")
    assert done.returncode == 0, done.stdout
    data = json.loads(done.stdout)
    assert (
        data["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
        or sys.version_info[3] != "final"
    )
    assert data["store"]["runs"] == {"succeeded": 1}
    grace = next(one for one in data["settings"] if one["variable"] == "LANEWAY_GRACE")
    assert (grace["value"], grace["from"]) == ("2", "environment")
    assert all(one["version"] or one["get"] for one in data["parts"])
    assert "optional parts" in laneway("doctor").stdout


def test_doctor_tells_what_a_store_holds(laneway: Laneway, folder: Path) -> None:
    laneway("run", "flow.py:flow", "-c", "n=5")
    laneway("run", "flow.py:parsing", "-c", "text=abc")
    url = "sqlite:///laneway.db"
    store = json.loads(laneway("doctor", "--store", url, "--json", LANEWAY_RETENTION="30d").stdout)["store"]
    assert store["runs"] == {"failed": 1, "succeeded": 1}
    sizes = store["sizes"]
    assert (sizes["runs"], sizes["steps"] >= 7, sizes["events"] > 7, sizes["artifacts"]) == (2, True, True, 0)
    assert sizes["file_bytes"] == (folder / "laneway.db").stat().st_size
    assert sizes["schema"] >= 2
    assert store["oldest"] < store["oldest_end"]
    assert store["engines"] == []
    assert store["retention_seconds"] == 30 * 86_400
    plain = laneway("doctor", "--store", url).stdout
    for line in ("1 failed, 1 succeeded", "write-ahead log", "0 alive", "finished runs are kept"):
        assert line in plain, plain
    typo = laneway("doctor", "--store", "sqllite:///laneway.db")
    assert typo.returncode == 1
    assert "Did you mean sqlite://?" in typo.stdout


def test_doctor_fails_where_the_store_cannot_be_reached(laneway: Laneway, folder: Path) -> None:
    (folder / "laneway.db").write_bytes(b"this is not a database, it only looks like a file" * 40)
    done = laneway("doctor")
    assert done.returncode == 1
    assert "laneway.db" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(laneway: Laneway, shell: str) -> None:
    done = laneway("completion", shell)
    assert done.returncode == 0
    assert "_LANEWAY_COMPLETE" in done.stdout


def test_completion_knows_commands_and_options(laneway: Laneway) -> None:
    done = laneway(_LANEWAY_COMPLETE="bash_complete", COMP_WORDS="laneway ru", COMP_CWORD="1")
    assert {"plain,run", "plain,runs"} <= set(done.stdout.split())
    done = laneway(_LANEWAY_COMPLETE="bash_complete", COMP_WORDS="laneway run --dur", COMP_CWORD="2")
    assert "plain,--durability" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(laneway: Laneway, folder: Path) -> None:
    for number in range(3):
        laneway("run", "flow.py:flow", "-c", f"n={number}")
    command = f'"{sys.executable}" -m laneway runs show latest | head -1'
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("run ")


def test_a_closed_pipe_is_quiet(laneway: Laneway, folder: Path) -> None:
    laneway("run", "flow.py:flow")
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "laneway", "runs", "list"],
            cwd=folder,
            env=environment(),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == ""


def test_version_and_help_name_the_command(laneway: Laneway) -> None:
    assert laneway("--version").stdout.startswith("laneway ")
    shown = laneway("--help")
    assert shown.returncode == 0
    assert {"run", "runs", "tasks", "doctor", "demo"} <= set(shown.stdout.split())
    assert laneway("nonsense").returncode == 2
    for command in ("run", "runs", "tasks", "doctor", "demo", "completion"):
        assert laneway(command, "--help").returncode == 0


def test_output_in_a_pipe_has_no_escapes_and_is_never_cut(laneway: Laneway) -> None:
    laneway("run", "flow.py:flow")
    for arguments in (["runs", "list"], ["runs", "show", "latest"], ["tasks", "flow.py:flow"], ["doctor"]):
        done = laneway(*arguments, COLUMNS="40")
        assert "\x1b" not in done.stdout
        assert "…" not in done.stdout
