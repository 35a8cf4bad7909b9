"""What newcomers type by mistake, and surroundings that are not as they should be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Laneway, environment


def test_a_workflow_without_its_context_says_how_to_give_it(laneway: Laneway) -> None:
    done = laneway("run", "flow.py:parsing")
    assert done.returncode == 2
    assert "needs 'text'" in done.stderr
    assert "-c KEY=VALUE" in done.stderr


def test_an_unknown_module_is_compared_with_what_is_here_and_nothing_else(laneway: Laneway) -> None:
    assert "Did you mean 'flow'?" in laneway("run", "flwo:flow").stderr
    strange = laneway("run", "jsn:flow")
    assert strange.returncode == 2
    assert "Did you mean" not in strange.stderr
    assert "It is looked for in" in strange.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--force"], "--resume"),
        (["--resume", "latest", "--new"], "--new"),
        (["--resume", "latest", "--key", "k"], "--key"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    laneway: Laneway, arguments: list[str], named: str
) -> None:
    done = laneway("run", "flow.py:flow", *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert not json.loads(laneway("runs", "list", "--json").stdout)


def test_settings_that_nobody_made_are_told_apart_from_automatic_ones(laneway: Laneway) -> None:
    lines = laneway("doctor").stdout.splitlines()
    told = {
        parts[0]: parts[1:] for line in lines if (parts := line.split()) and parts[0].startswith("LANEWAY_")
    }
    assert told["LANEWAY_WORKERS"] == ["automatic", "(default)"]
    assert told["LANEWAY_AUDIT"] == ["not", "set", "(default)"]


@pytest.mark.parametrize(
    "arguments", [("run", "flow.py:flow"), ("run", "flow.py:flow", "--json"), ("doctor",)]
)
def test_a_closed_standard_output_is_like_one_that_nobody_reads(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    line = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "laneway", *arguments]
    done = subprocess.run(
        line, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True, timeout=50, check=False
    )
    assert (done.returncode, "bug" in done.stderr) == (0, False), done.stderr


def test_an_audit_whose_state_cannot_be_kept_says_what_to_choose(laneway: Laneway, folder: Path) -> None:
    done = laneway("demo", ".", "--no-isolation", "--out", str(folder / "flow.py" / "reports"))
    assert done.returncode == 2
    assert "--out DIR" in done.stderr
