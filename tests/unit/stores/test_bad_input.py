"""What a user gets wrong about stores and runs is told in one message with what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from laneway import Engine, Workflow, task
from laneway._core.errors import KeyReused, SettingInvalid
from laneway.controls import ContextTooLarge
from laneway.registry import store_from
from laneway.settings import settings_from


@task
def size(x: str) -> int:
    return len(x)


@task
def other(x: str) -> int:
    return 0


FLOW, OTHER = Workflow("size", [size]), Workflow("other", [other])


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlitee:///runs.db", "Did you mean sqlite://?"),
        ("postgress://host/db", "Did you mean postgres"),
        ("sqlite://runs.db", "Did you mean sqlite:///runs.db?"),
        ("sqlite:runs.db", "Did you mean sqlite://?"),
        ("runs.db", "Did you mean sqlite:///runs.db?"),
        ("mysql://host/db", "Use memory://, sqlite:///FILE or postgresql://HOST/DATABASE."),
        ("", "Use memory://"),
    ],
)
def test_a_store_url_with_a_typo_is_refused_with_what_was_meant(url: str, advice: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        store_from(url, durability="commit")
    assert advice in str(caught.value)


def test_a_typo_does_not_show_the_password() -> None:
    with pytest.raises(SettingInvalid, match="postgress://me:") as caught:
        store_from("postgress://me:secret@host/db", durability="commit")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_told_with_the_extra_that_brings_it() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PSYCOPG],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install 'laneway[postgres]'" in run.stderr
    assert "LW-STORE-007" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.returncode == 1


_WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from laneway.cli._main import main
main(["runs", "list", "--store", "postgresql://host/db"])
"""


async def test_a_context_of_50_mb_is_refused_with_the_key_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine(f"sqlite:///{tmp_path}/s.db") as engine:
        with pytest.raises(
            ContextTooLarge, match=r"has 50\.0 MB.*largest key is 'x' with 50\.0 MB.*artifact"
        ):
            await engine.run(FLOW, {"x": "y" * 50_000_000, "z": 1})
        assert await engine.find() == [], "nothing is left of it"
        assert (await engine.run(FLOW, {"x": "y" * 3_000_000})).context["size"] == 3_000_000
    monkeypatch.setenv("LANEWAY_CONTEXT_LIMIT", "2")
    async with Engine("memory://") as engine:
        with pytest.raises(ContextTooLarge, match="limit is 2 MB"):
            await engine.start(FLOW, {"x": "y" * 3_000_000})


def test_the_limit_of_contexts_is_a_number_of_megabytes() -> None:
    assert settings_from({}).context_bytes == 32_000_000
    assert settings_from({"LANEWAY_CONTEXT_LIMIT": "64"}).context_bytes == 64_000_000
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(SettingInvalid, match="LANEWAY_CONTEXT_LIMIT"):
            settings_from({"LANEWAY_CONTEXT_LIMIT": wrong})


async def test_a_key_of_another_workflow_is_refused_with_both_names(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/s.db") as engine:
        first = await engine.run(FLOW, {"x": "a"}, key="order-42")
        with pytest.raises(KeyReused, match="belongs to run") as caught:
            await engine.run(OTHER, {"x": "a"}, key="order-42")
        for words in (first.id, "'size'", "'other'", "Use another key"):
            assert words in str(caught.value)
        with pytest.raises(SettingInvalid, match="a text that is not empty"):
            await engine.run(FLOW, {"x": "a"}, key="")
