"""`laneway run` as a user has it: output, exit status, JSON, mistakes."""

import json
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Laneway

FIELDS = {"id", "workflow", "status", "context", "error", "steps", "kept"}


def test_a_run_that_succeeds_shows_its_context_and_leaves_with_zero(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:flow", "-c", "n=4")
    assert done.returncode == 0, done.stderr
    assert "succeeded: 6 steps" in done.stdout
    assert "total = 12" in done.stdout
    told = done.stderr.splitlines()
    assert "double done (4 steps) on the thread lane" in told
    assert len(set(told)) == len(told), "each end is told once"


def test_json_is_the_only_thing_on_standard_output_whatever_tasks_print(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:flow", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) >= FIELDS
    assert result["status"] == "succeeded"
    assert result["context"]["total"] == 6


def test_json_of_a_failed_run_has_task_kind_message_and_traceback(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:parsing", "-c", "text=abc", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert (error["task"], error["type"]) == ("parse", "ValueError")
    assert "return int(text)" in error["traceback"]


@pytest.mark.parametrize(("workflow", "task"), [("parsing", "parse"), ("remote", "careless")])
def test_a_failed_run_shows_task_message_and_remote_traceback(
    laneway: Laneway, workflow: str, task: str
) -> None:
    done = laneway("run", f"flow.py:{workflow}", "-c", "text=abc")
    assert done.returncode == 1
    assert f"failed at task {task}" in done.stderr
    assert "ValueError: invalid literal for int() with base 10: 'abc'" in done.stderr
    assert "return int(text)" in done.stderr


def test_tasks_of_a_file_run_in_interpreters(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:squares", "-c", "n=5", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["context"]["square"] == [0, 1, 4, 9, 16]
    assert {step["lane"] for step in result["steps"] if step["task"] == "square" and step["lane"]} <= {
        "interpreter",
        "process",
    }


def test_values_are_json_if_they_parse_else_text(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:parsing", "-c", "text=[1", "--json")
    assert json.loads(done.stdout)["context"]["text"] == "[1"
    done = laneway("run", "flow.py:parsing", "-c", 'text="7"', "--json")
    assert json.loads(done.stdout)["context"] == {"text": "7", "parse": 7}


def test_the_context_comes_from_a_file_or_standard_input_and_pairs_go_over_it(
    laneway: Laneway, folder: Path
) -> None:
    (folder / "context.json").write_text('{"n": 2, "pause": 0}', encoding="utf-8")
    done = laneway("run", "flow.py:flow", "--context", "@context.json", "-c", "n=5", "--json")
    assert json.loads(done.stdout)["context"]["numbers"] == [0, 1, 2, 3, 4]
    done = laneway("run", "flow.py:flow", "--context", "-", "--json", given='{"n": 1}')
    assert json.loads(done.stdout)["context"]["numbers"] == [0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["flow.py:flo"], "Did you mean 'flow'?"),
        (["flow.py:not_a_flow"], "is int, not a Workflow"),
        (["flow.py:parse"], "is a task, not a workflow"),
        (["flow.py"], "it has 4 workflows"),
        (["flw.py:flow"], "Did you mean 'flow.py'?"),
        (["nowhere/flow.py:flow"], "there is no folder 'nowhere'"),
        (["no_such_module:flow"], "there is no module 'no_such_module'"),
        (["broken.py:flow"], "has a syntax error"),
        (["raising.py:flow"], "RuntimeError: not today"),
        (["invalid.py:flow"], "unknown"),
        (["flow.py:flow", "--context", "{"], "--context is not JSON"),
        (["flow.py:flow", "--context", "[1]"], "it is a list"),
        (["flow.py:flow", "--context", "@missing.json"], "is not a readable file"),
        (["flow.py:flow", "-c", "n"], "it has no ="),
        (["flow.py:flow", "--store", "sqlte:///x.db"], "Did you mean sqlite://?"),
        (["flow.py:flow", "--store", "sqlite://x.db"], "three slashes"),
        (["flow.py:flow", "--durability", "never"], "never"),
        (["flow.py:flow", "--workers", "0"], "0"),
        ([], "TARGET"),
    ],
)
def test_what_the_user_got_wrong_is_said_once_without_a_traceback(
    laneway: Laneway, folder: Path, arguments: list[str], said: str
) -> None:
    (folder / "broken.py").write_text("def f(:\n", encoding="utf-8")
    (folder / "raising.py").write_text("raise RuntimeError('not today')\n", encoding="utf-8")
    (folder / "invalid.py").write_text(
        "from laneway import Workflow, task\n\n@task(dependencies=['unknown'])\ndef a() -> int:\n    return 1\n\n"
        "flow = Workflow('invalid', [a])\n",
        encoding="utf-8",
    )
    done = laneway("run", *arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in done.stderr
    assert done.stdout == ""
    assert "src/laneway" not in done.stderr.replace("\\", "/")


def test_debug_shows_where_an_error_came_from(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:flo", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "TargetNotFound" in done.stderr


def test_a_module_of_the_current_folder_is_found(laneway: Laneway) -> None:
    assert laneway("run", "flow:flow").returncode == 0


def test_a_key_shows_the_finished_run_instead_of_running_again(laneway: Laneway) -> None:
    first = laneway("run", "flow.py:flow", "--key", "order-42", "--json")
    again = laneway("run", "flow.py:flow", "--key", "order-42", "--json")
    assert json.loads(first.stdout)["id"] == json.loads(again.stdout)["id"]
    assert "is over already" in again.stderr
    other = laneway("run", "flow.py:flow", "--json")
    assert json.loads(other.stdout)["id"] != json.loads(first.stdout)["id"]


def test_a_package_folder_runs(laneway: Laneway, folder: Path) -> None:
    source = folder / "pkg" / "src"
    source.mkdir(parents=True)
    (folder / "pkg" / "laneway.toml").write_text(
        '[package]\nname = "pkg"\nversion = "1.0"\nentry_module = "words"\n', encoding="utf-8"
    )
    (source / "words.py").write_text(
        "from laneway import task\n\n@task\ndef words(text: str) -> list[str]:\n    return text.split()\n",
        encoding="utf-8",
    )
    done = laneway("run", "pkg", "-c", "text=to be", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["context"]["words"] == ["to", "be"]
    wrong = laneway("run", "pkg#nothing")
    assert wrong.returncode == 2
    assert "no workflow 'nothing'" in wrong.stderr


def test_a_task_of_a_file_runs_the_files_other_workflows(laneway: Laneway, folder: Path) -> None:
    (folder / "outer.py").write_text(
        "from laneway import Context, Workflow, task\n\n"
        '@task(lane="process")\ndef square(n: int) -> int:\n    return n * n\n\n'
        'inner = Workflow("squares", [square])\n\n'
        "@task\nasync def outer(context: Context) -> None:\n"
        '    context["found"] = (await context.run(inner, {"n": 7})).context["square"]\n\n'
        'flow = Workflow("outer", [outer])\n',
        encoding="utf-8",
    )
    done = laneway("run", "outer.py:flow", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["context"] == {"found": 49}
    (below,) = json.loads(laneway("runs", "list", "--parent", result["id"], "--json").stdout)
    assert below["reference"] == f"{folder / 'outer.py'}:inner", "commands find it there"
