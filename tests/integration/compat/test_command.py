"""`laneway compat` from the outside: targets, formats, exit statuses, resuming, and the recipe for CI."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from laneway.cli._main import laneway

ROOT = Path(__file__).parents[3]


class Shell:
    """Runs the command line in a folder, with its own cache and only the test's wheels to install from."""

    def __init__(self, folder: Path, wheels: Path, uv: Path) -> None:
        self.folder = folder
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{uv.parent}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))},
            "XDG_CACHE_HOME": str(folder / "cache"),
            "UV_CACHE_DIR": str(wheels.parent / "uv-cache"),
            "UV_FIND_LINKS": str(wheels),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "laneway", "compat", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> dict[str, Any]:
        outcome = self(*arguments, "--json")
        assert outcome.returncode == 0, outcome.stderr
        found: dict[str, Any] = msgspec.json.decode(outcome.stdout)
        return found


@pytest.fixture
def shell(tmp_path: Path, wheels: Path, uv: Path) -> Shell:
    return Shell(tmp_path, wheels, uv)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["status"] for row in report["rows"]}


def test_what_is_not_installed_is_resolved_into_a_folder_that_is_gone_afterwards(shell: Shell) -> None:
    (shell.folder / "requirements.txt").write_text("needing\ngood==1.0\n")
    report = shell.json("requirements.txt")
    assert statuses(report) == {"needing": "red", "undeclared": "red", "good": "green"}
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["needing"]["interpreter"]["blame"] == "undeclared"
    assert rows["needing"]["is_direct"]
    assert not rows["undeclared"]["is_direct"]
    assert "throw-away" in report["source"]
    work = shell.folder / "cache" / "laneway" / "compat" / "work"
    assert not list(work.iterdir())


def test_a_second_time_everything_comes_from_the_cache(shell: Shell) -> None:
    first, second = shell.json("needing", "good"), shell.json("needing", "good")
    assert [row["from_cache"] for row in first["rows"]] == [False] * 3
    assert [row["from_cache"] for row in second["rows"]] == [True] * 3
    assert statuses(first) == statuses(second)
    assert [row["from_cache"] for row in shell.json("good", "--fresh")["rows"]] == [False]


def test_what_cannot_be_installed_is_red_and_the_rest_is_probed(shell: Shell) -> None:
    report = shell.json("good", "there-is-no-such-distribution")
    assert statuses(report) == {"good": "green", "there-is-no-such-distribution": "red"}
    row = next(row for row in report["rows"] if row["kind"] == "missing")
    assert "there-is-no-such-distribution" in row["install"]["reason"]


def test_offline_nothing_is_installed(shell: Shell) -> None:
    report = shell.json("rich", "good", "--offline")
    assert statuses(report) == {"rich": "green", "good": "unknown"}


def test_a_crash_while_probing_touches_nothing_else(shell: Shell) -> None:
    report = shell.json("crashing", "exiting", "good")
    assert statuses(report) == {"crashing": "red", "exiting": "red", "good": "green"}
    assert any("crashed" in risk["risk"] and "crashing" in risk["names"] for risk in report["risks"])


def test_a_lock_file_is_taken_as_it_is(shell: Shell) -> None:
    text = 'lock-version = "1.0"\ncreated-by = "x"\n\n[[packages]]\nname = "needing"\nversion = "1.0"\n'
    (shell.folder / "pylock.toml").write_text(text)
    report = shell.json("pylock.toml")
    assert [row["name"] for row in report["rows"]] == ["needing"]  # the lock does not name what it needs
    assert report["rows"][0]["interpreter"]["answer"] == "env-error"


def test_a_package_folder_is_judged_by_what_it_vendors(shell: Shell, site: Path) -> None:
    package = shell.folder / "package"
    (package / "src").mkdir(parents=True)
    (package / "src" / "work.py").write_text("COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1\n")
    (package / "laneway.toml").write_text('[package]\nname = "p"\nversion = "1"\nentry_module = "work"\n')
    (package / "vendor").mkdir()
    for path in [*site.glob("good_module*"), *site.glob("good-1.0*")]:
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, package / "vendor" / path.name)
    report = shell.json(str(package))
    assert statuses(report) == {"good": "green"}
    assert [one["rule"] for one in report["findings"]] == ["FT203"]


def test_formats_go_by_the_suffix_and_the_table_is_for_people(shell: Shell) -> None:
    for name, head in (
        ("a.html", "<!doctype html>"),
        ("a.md", "# Compat"),
        ("a.xml", "<?xml"),
        ("a.sarif", "{"),
    ):
        outcome = shell("good", "-o", name)
        assert outcome.returncode == 0, outcome.stderr
        assert (shell.folder / name).read_text().startswith(head)
    outcome = shell("good", "undeclared")
    assert re.search(r"^red +undeclared \* +1\.0 +refused", outcome.stdout, re.MULTILINE)
    assert "this imports their code, in disposable processes" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.txt",), "there is no such file"),
        (("good", "--fail-on", "purple"), "'purple' is not one of"),
        (("good", "-o", "report.doc"), "no format is known"),
        (("good", "--rule", "FT999"), "there is no rule"),
        (("good", "--baseline", "none.json"), "--write-baseline"),
        (("good", "--python", "/nonexistent/python"), "cannot probe with"),
        (("good", "--source", "nowhere"), "no such file or folder"),
    ],
)
def test_usage_errors_leave_with_2_and_say_what_to_do(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(laneway, ["compat", *arguments])
    assert outcome.exit_code == 2
    assert words in outcome.stderr


def test_the_recipe_for_ci_fails_when_a_dependency_turns_red_and_passes_with_a_baseline(shell: Shell) -> None:
    page = (ROOT / "docs" / "how-to" / "compat-in-ci.md").read_text()
    accept, check = re.findall(r"```sh\n(laneway compat.*?)```", page, re.DOTALL)[:2]

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-euc", script], cwd=shell.folder, env=shell.environment,
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    project = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.14"\ndependencies = {}\n'
    file = shell.folder / "pyproject.toml"
    file.write_text(project.format('["undeclared"]'))
    assert run(accept).returncode == 0
    assert run(check).returncode == 0
    file.write_text(project.format('["undeclared", "single"]'))
    failed = run(check)
    assert failed.returncode == 1
    assert "single 1.0 is red: single_phase: single-phase initialisation" in failed.stderr
    assert (shell.folder / "compat.xml").read_text().count("<failure") == 1
    assert run(accept).returncode == 0
    assert run(check).returncode == 0
    file.write_text(project.format('["good"]'))
    assert run(check).returncode == 0


def test_a_report_is_compared_with_an_older_one(shell: Shell) -> None:
    assert shell("good", "-o", "old.json").returncode == 0
    outcome = shell("good", "single", "--diff", "old.json")
    assert "added    single" in outcome.stderr


def test_a_batch_that_was_killed_goes_on_where_it_was(shell: Shell) -> None:
    names = ("good", "pure", "undeclared", "hanging")
    command = [sys.executable, "-m", "laneway", "compat", *names, "--json", "--jobs", "1", "--timeout", "2"]
    probes = shell.folder / "cache" / "laneway" / "compat" / "probes"
    with subprocess.Popen(
        command,
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stderr is not None
        for _ in first.stderr:  # its progress; it has probed something once results are kept
            if any(probes.glob("*/*.json")):
                break
        first.send_signal(signal.SIGKILL)
    kept = len(list(probes.glob("*/*.json")))
    report = shell.json(*names, "--jobs", "1", "--timeout", "2")
    assert statuses(report) == {"good": "green", "pure": "green", "undeclared": "red", "hanging": "red"}
    assert kept <= sum(row["from_cache"] for row in report["rows"]) <= 4
