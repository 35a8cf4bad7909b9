"""Fingerprints of task code."""

import importlib.util
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from laneway._core.fingerprint import fingerprint_of

BASE = """
    from laneway import task

    @task(retries=1)
    def work(data):
        total = sum(one for one in data)
        return lambda: total
"""


def loaded(folder: Path, source: str) -> ModuleType:
    file = folder / "fingerprinted.py"
    file.write_text(dedent(source))
    spec = importlib.util.spec_from_file_location("fingerprinted", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        (BASE.replace("retries=1", "retries=5, timeout=3"), True),
        (BASE.replace("total = sum", "# a comment\n\n        total   =  sum"), True),
        ("\n\n    X = 1\n" + BASE, True),
        (BASE.replace("sum(", "max("), False),
        (BASE.replace("lambda: total", "lambda: -total"), False),
        (BASE.replace("def work(data)", "def work(data=())"), False),
        (BASE.replace("@task(retries=1)", "@task(retries=1, when=lambda data: data)"), False),
    ],
)
def test_only_code_counts(tmp_path: Path, change: str, is_same: bool) -> None:
    first = fingerprint_of(loaded(tmp_path, BASE).work)
    assert (fingerprint_of(loaded(tmp_path, change).work) == first) is is_same


def test_fingerprint_is_stable_over_several_asks(tmp_path: Path) -> None:
    work = loaded(tmp_path, BASE).work
    assert fingerprint_of(work) == fingerprint_of(work)
    assert len(fingerprint_of(work)) == 64


def test_code_without_source_is_hashed_as_compiled() -> None:
    first: dict[str, object] = {}
    second: dict[str, object] = {}
    exec("def work(x): return x + 1", first)
    exec("def work(x): return x + 2", second)
    one, two = first["work"], second["work"]
    assert callable(one)
    assert callable(two)
    assert fingerprint_of(one) == fingerprint_of(one)
    assert fingerprint_of(one) != fingerprint_of(two)
