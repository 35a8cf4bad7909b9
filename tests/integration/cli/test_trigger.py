"""`laneway trigger`, as people and programs use it."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

type Laneway = Callable[..., subprocess.CompletedProcess[str]]
type Started = Callable[..., subprocess.Popen[str]]

MANIFEST = """
[package]
name = "orders"
version = "1.0"
entry_module = "orders"

[workflows.shipping]
tasks = ["hello"]

[trigger.ship]
workflow = "shipping"
http = true
"""


def said(answer: subprocess.CompletedProcess[str]) -> Any:
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_triggers_of_every_kind_are_added_listed_shown_and_removed(laneway: Laneway, folder: Path) -> None:
    assert "no triggers in" in laneway("trigger", "list").stderr
    assert not (folder / "laneway.db").exists()  # looking makes nothing
    said(
        laneway("trigger", "add", "after", "flow.py:parsing", "--follows", "sum", "--on", "failed", "--json")
    )
    files = laneway("trigger", "add", "import", "flow.py:parsing", "--files", "in", "--pattern", "*.csv")
    assert "in is not there yet" in files.stderr
    fields = ["--field", "text=string", "--field", "note=string?", "--key", "text"]
    called = laneway("trigger", "add", "call", "flow.py:parsing", "--http", *fields, "-c", "n=5")
    assert called.stdout == "trigger call: POST /triggers/call\n"
    assert "`laneway serve`" in called.stderr
    after, call, files_too = said(laneway("trigger", "list", "--json"))
    assert (after["kind"], after["follows"], after["on"]) == ("run", "sum", ["failed"])
    assert (call["path"], call["fields"]["note"], call["key"]) == ("/triggers/call", "string?", "text")
    assert (files_too["folder"], files_too["pattern"]) == (str(folder / "in"), "*.csv")
    assert call["parameters"] == {"n": 5}
    listed = laneway("trigger", "list").stdout
    assert "sum fails" in listed
    assert "*.csv appears in" in listed
    assert "key         text" in laneway("trigger", "show", "call").stdout
    assert laneway("trigger", "remove", "call").stdout == "trigger call: removed\n"
    assert [one["name"] for one in said(laneway("trigger", "list", "--json"))] == ["after", "import"]


def test_mistakes_are_told_with_what_to_do(laneway: Laneway) -> None:
    assert "there is no store" in laneway("trigger", "show", "x").stderr
    laneway("trigger", "add", "call", "flow.py:parsing", "--http")
    for command in ("show", "pause", "resume", "remove"):
        wrong = laneway("trigger", command, "cal")
        assert (wrong.returncode, "Did you mean 'call'?" in wrong.stderr) == (1, True)
    for arguments, advice in [
        ([], "exactly one of --follows, --files and --http"),
        (["--http", "--files", "in"], "exactly one of"),
        (["--http", "--on", "failed"], "--on goes with --follows only"),
        (["--follows", "sum", "--field", "n=integer"], "--field goes with --http only"),
        (["--http", "--field", "n"], "Write --field n=integer"),
        (["--http", "--field", "n=int"], "use string, integer"),
        (["--files", "in", "-c", "path"], "KEY=VALUE"),
    ]:
        wrong = laneway("trigger", "add", "x", "flow.py:parsing", *arguments)
        assert (wrong.returncode, advice in " ".join(wrong.stderr.split())) == (2, True), wrong.stderr
    assert "parsing" in laneway("trigger", "add", "x", "flow.py:parsin", "--http").stderr
    assert "Did you mean 'trigger'?" in laneway("triggers", "list").stderr


def test_a_running_scheduler_sees_at_once_what_is_added_paused_and_resumed(
    laneway: Laneway, started: Started, folder: Path
) -> None:
    incoming = folder / "in"
    incoming.mkdir()
    flow = [
        "from laneway import Workflow, task",
        "@task",
        "async def keep(path: str) -> str:",
        "    return path",
    ]
    (folder / "files.py").write_text("\n".join([*flow, "flow = Workflow('keeping', [keep])"]))
    laneway("trigger", "add", "other", "files.py:flow", "--http")
    server = started("schedule", "start")
    assert server.stderr is not None
    assert "scheduling 0 job(s) and 1 trigger(s)" in server.stderr.readline()
    laneway("trigger", "add", "import", "files.py:flow", "--files", "in", "-c", "path={path}")
    (incoming / "a").write_text("1")
    wait_for(laneway, 1)
    assert said(laneway("trigger", "pause", "import", "--json"))["paused"]
    assert "paused" in laneway("trigger", "list").stdout
    (incoming / "b").write_text("2")
    assert not said(laneway("trigger", "resume", "import", "--json"))["paused"]
    (incoming / "c").write_text("3")
    wait_for(laneway, 2)
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=20) == 0
    shown = said(laneway("trigger", "show", "import", "--json"))
    results = [said(laneway("runs", "show", one["id"], "--json")) for one in shown["runs"]]
    assert [Path(one["context"]["keep"]).name for one in results] == ["c", "a"]
    assert "succeeded" in laneway("trigger", "show", "import").stdout
    assert said(laneway("trigger", "list", "--json"))[0]["last"]["status"] == "succeeded"


def wait_for(laneway: Laneway, count: int) -> None:
    for _ in range(100):
        runs = said(laneway("runs", "list", "--tag", "trigger=import", "--status", "succeeded", "--json"))
        if len(runs) == count:
            return
    pytest.fail(f"never {count} runs")


def test_a_packages_triggers_are_told_when_they_are_added(laneway: Laneway, folder: Path) -> None:
    package = folder / "orders"
    (package / "src").mkdir(parents=True)
    (package / "laneway.toml").write_text(MANIFEST)
    code = "from laneway import task\n\n@task\ndef hello() -> int:\n    return 1\n"
    (package / "src" / "orders.py").write_text(code)
    assert laneway("schedule", "add", "orders").stdout == "trigger orders/ship: POST /triggers/orders/ship\n"
    (trigger,) = said(laneway("trigger", "list", "--json"))
    assert trigger["target"].endswith("orders#shipping")
