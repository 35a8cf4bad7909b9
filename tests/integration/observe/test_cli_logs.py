"""Commands write log lines as the settings ask for, and import structlog only when there is one to write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from laneway._core.errors import SettingInvalid
from laneway.settings import runtime_folder, settings_from

FLOW = """
import logging
from laneway import Workflow, task

@task(lane="interpreter")
def speaks() -> int:
    logging.getLogger("shop").warning("token=abc")
    return 1

flow = Workflow("speaks", [speaks])
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "flow.py").write_text(FLOW)
    return subprocess.run(
        [sys.executable, "-m", "laneway", "run", "flow.py:flow", "--json", "--store", "memory://"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )


def test_lines_are_json_with_secrets_blotted_out_if_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, LANEWAY_LOG="info", LANEWAY_LOG_FORMAT="json", LANEWAY_REDACT="password, token")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    spoken = next(line for line in lines if line["logger"] == "shop")
    assert spoken["event"] == "token=***"
    assert spoken["lane"] == "interpreter"
    assert spoken["run"] == json.loads(done.stdout)["id"]
    assert any(line["event"] == "run succeeded" for line in lines)


def test_by_default_warnings_are_written_for_people(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "token=abc" in done.stderr
    assert "task=speaks" in done.stderr
    assert "run succeeded" not in done.stderr


def test_structlog_is_not_imported_for_nothing() -> None:
    code = (
        "import sys; from laneway.cli._logging import log_as_asked; from laneway.settings import settings_from;"
        "log_as_asked(settings_from()); print('structlog' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LANEWAY_LOG_FORMAT", "xml"), ("LANEWAY_AUDIT_FSYNC", "sometimes"), ("LANEWAY_PS", "maybe")],
)
def test_a_setting_that_cannot_be_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=variable):
        settings_from({variable: value})


def test_settings_of_observation_are_read(tmp_path: Path) -> None:
    found = settings_from(
        {
            "LANEWAY_LOG_FORMAT": "JSON",
            "LANEWAY_REDACT": "password, token,",
            "LANEWAY_AUDIT": "audit",
            "LANEWAY_AUDIT_FSYNC": "each",
            "LANEWAY_PS": "off",
        }
    )
    assert (found.log_lines, found.redact, found.audit) == ("json", ("password", "token"), "audit")
    assert (found.audit_fsync, found.ps) == ("each", False)
    assert runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(tmp_path / "laneway")
    assert runtime_folder({}).endswith(f"laneway-{os.getuid()}")
