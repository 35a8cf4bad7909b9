"""The review's rules: documentation, examples, tables checked against the running interpreter, ignore comments."""

import importlib
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laneway.compat.review import DEFAULT_OFF, review_file, review_source
from laneway.compat.review_examples import EXAMPLES
from laneway.compat.review_names import ARGUMENTS, MODULES, NAMES
from laneway.compat.review_rules import RULES, rule_of

EVERY = frozenset(RULES)
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def rules_in(source: str, path: str = "module.py") -> list[str]:
    return [finding.rule for finding in review_source(source, path, select=EVERY)]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_every_rule_is_documented_and_has_an_example() -> None:
    assert set(EXAMPLES) == set(RULES)
    for rule in RULES.values():
        assert rule.severity in ("error", "warning", "note")
        assert rule.summary.endswith(".")
        assert len(rule.explanation) > 40
        assert rule_of(rule.name) is rule
        assert rule_of(rule.id.lower()) is rule


@pytest.mark.parametrize("rule", sorted(EXAMPLES))
def test_the_example_before_the_fix_is_reported_and_after_it_is_not(rule: str) -> None:
    before, after = EXAMPLES[rule]
    assert rule in rules_in(before)
    assert rule not in rules_in(after)


@pytest.mark.parametrize("rule", sorted(set(EXAMPLES) - {"PY100"}))
def test_an_ignore_comment_on_the_line_silences_the_rule(rule: str) -> None:
    before, _ = EXAMPLES[rule]
    lines = before.splitlines()
    for finding in review_source(before, "module.py", select=frozenset({rule})):
        lines[finding.line - 1] += f"  # laneway: ignore[{rule}]"
    assert rule not in rules_in("\n".join(lines) + "\n")


def test_ignore_takes_names_lists_and_whole_files() -> None:
    bad = "import telnetlib"
    assert rules_in(f"{bad}  # laneway: ignore[removed-module, FT201]\n") == []
    assert rules_in(f"{bad}  # laneway: ignore\n") == []
    assert rules_in(f"# laneway: ignore-file[PY101]\n{bad}\n") == []
    assert rules_in(f"{bad}  # laneway: ignore[FT201]\n") == ["PY101"]
    assert rules_in(f"{bad}  # laneway: ignore[NO_SUCH]\n") == ["PY101"]
    assert rules_in(f"{bad}; x = '# laneway: ignore'\n") == ["PY101"]


def test_an_ignore_comment_at_the_end_of_a_long_statement_counts() -> None:
    assert rules_in("from ast import (\n    Num,\n    Str,\n)  # laneway: ignore[PY102]\n") == []


def test_rules_off_by_default_need_to_be_asked_for() -> None:
    source = "from __future__ import annotations\n"
    assert {"PY109", "FT201", "FT205", "FT206", "FT207"} == DEFAULT_OFF
    assert review_source(source, "a.py") == []
    assert rules_in(source) == ["PY109"]


def test_a_framework_that_defines_the_old_names_itself_is_left_alone() -> None:
    source = (
        "from {} import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        "        self.failUnlessEqual(1, 1)\n"
    )
    assert rules_in(source.format("twisted.trial")) == []
    assert rules_in(source.replace("from {} import", "import")) == ["PY106"]


def test_the_way_for_old_versions_behind_an_import_that_may_fail_is_left_alone() -> None:
    source = (
        "try:\n    from importlib.util import find_spec\nexcept ImportError:\n    find_spec = None\n"
        "if find_spec:\n    found = find_spec('pip')\nelse:\n    import imp\n"
    )
    assert rules_in(source) == []


def test_formulas_nested_deeper_than_usual_are_reviewed_all_the_same() -> None:
    source = f"import telnetlib\nx = {'+'.join(['y'] * 1500)}\n"
    assert rules_in(source) == ["PY101"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_listed_modules_are_gone_from_the_version_named(name: str) -> None:
    change = MODULES[name]
    gone = change.kind == "removed" and version(change.removed) <= sys.version_info[:2]
    program = f"import {name}"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "ignore", "-c", program], timeout=30, check=False
    )
    if not gone and found.returncode and importlib.util.find_spec(name) is not None:
        pytest.skip("present, but it does not load on this platform")
    assert (found.returncode != 0) is gone


def _look_up(dotted: str) -> bool:
    module, _, attribute = dotted.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            owner: object = importlib.import_module(module)
        except ImportError:
            outer, _, inner = module.rpartition(".")
            owner = getattr(importlib.import_module(outer), inner)
        return hasattr(owner, attribute)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_listed_names_are_gone_from_the_version_named(name: str) -> None:
    change = NAMES[name]
    if name.startswith(("asyncio.Windows", "webbrowser.Mac", "sys._enable")) and sys.platform == "linux":
        pytest.skip("exists on another platform only")
    gone = change.kind == "removed" and version(change.removed) <= sys.version_info[:2]
    assert _look_up(name) is not gone


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_functions_with_changed_arguments_exist(name: str) -> None:
    assert _look_up(name)


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import asyncio\nasyncio.get_event_loop_policy()\n", "PY104"),
        ("import asyncio as aio\naio.iscoroutinefunction(f)\n", "PY104"),
        ("from asyncio import set_event_loop_policy as s\n", "PY104"),
        ("import xml.etree.ElementTree as ET\nET.VERSION\n", "PY104"),
        ("import datetime\ndatetime.datetime.utcnow()\n", "PY105"),
        ("import codecs\ncodecs.open('f')\n", "PY105"),
        ("import locale\nlocale.getdefaultlocale()\n", "PY105"),
        ("import profile\n", "PY104"),
        ("from os import path\npath.commonprefix([])\n", "PY105"),
        ("def f():\n    from importlib.abc import Traversable\n", "PY102"),
        ("import pkgutil\npkgutil.find_loader('x')\n", "PY102"),
        ("import distutils.core\n", "PY101"),
        ("from distutils.core import setup\n", "PY101"),
        ("import glob\nglob.glob1('a', 'b')\n", "PY103"),
        ("import threading\nthreading.Event().isSet()\n", "PY105"),
        ("import threading\nthreading.RLock(1)\n", "PY107"),
        ("from typing import TypedDict\nT = TypedDict('T')\n", "PY107"),
        ("import array\narray.array('u')\n", "PY107"),
        ("import shutil\nshutil.rmtree('x', onerror=f)\n", "PY107"),
        (
            "def f():\n    for x in y:\n        try:\n            g()\n        finally:\n            continue\n",
            "PY108",
        ),
        (
            "import asyncio\ndef f():\n    l = asyncio.get_event_loop()\n    l.run_until_complete(g())\n",
            "PY110",
        ),
        (
            "from multiprocessing import Process\ndef f():\n    def g(): ...\n    Process(target=g).start()\n",
            "PY111",
        ),
        ("class M(type):\n    def __new__(m, n, b, ns):\n        return ns['__annotations__']\n", "PY112"),
        (
            "class A:\n    def __eq__(self, o):\n        return NotImplemented\n"
            "    def __ne__(self, o):\n        return not self.__eq__(o)\n",
            "PY113",
        ),
        ("x = ~True\n", "PY114"),
        ("x = b'\\d'\n", "PY115"),
    ],
)
def test_other_spellings_are_reported(source: str, rule: str) -> None:
    assert rule in rules_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "from . import imp\n",
        "from .cgi import escape\n",
        "try:\n    import cgi\nexcept ImportError:\n    cgi = None\n",
        "import sys\nif sys.version_info < (3, 12):\n    import imp\n",
        "import sys\nif sys.version_info >= (3, 12):\n    import importlib\nelse:\n    import imp\n",
        "import sys\nif sys.version_info[0] == 2:\n    import imp\n",
        "import sys\nif sys.version_info[:2] <= (3, 11):\n    import imp\n",
        "import sys\nif sys.version_info.major < 3:\n    import imp\n",
        "import ast\nif hasattr(ast, 'Num'):\n    x = ast.Num\n",
        "def f(ast):\n    return ast.Num\n",
        "import asyncio\nasync def f():\n    return asyncio.get_event_loop()\n",
        "import asyncio\ntry:\n    asyncio.get_event_loop()\nexcept RuntimeError:\n    pass\n",
        "from datetime import datetime\ndatetime.now()\n",
        "class T:\n    def f(self):\n        self.assertEquals(1, 1)\n    def assertEquals(self, a, b): ...\n",
        "def f():\n    try:\n        g()\n    finally:\n        for x in y:\n            break\n",
        "def f():\n    try:\n        g()\n    finally:\n        def h():\n            return 1\n",
        "class A:\n    def __ne__(self, o):\n        return not self.__eq__(o)\n",
        "import threading\nthreading.RLock()\n",
        "from typing import TypedDict\nT = TypedDict('T', {})\n",
        "from typing import TypedDict\nT = TypedDict('T', {'a': int}, total=False)\n",
        "x = '\\n\\\\d\\x41\\N{DIGIT ONE}'\n",
        "x = r'\\d'\ny = '''a\\\nb'''\n",
        "event.isSet()\n",
        "x = ~5\ny = ~(a == b)\n",
        "import hashlib\nhashlib.md5(b'x', usedforsecurity=False)\n",
        "from multiprocessing import Process\ndef w(): ...\ndef f():\n    Process(target=w).start()\n",
    ],
)
def test_careful_code_is_not_reported(source: str) -> None:
    assert rules_in(source) == []


def test_a_branch_that_runs_on_supported_versions_is_reported() -> None:
    assert rules_in("import sys\nif sys.version_info >= (3, 9):\n    import imp\n") == ["PY101"]


def test_findings_say_where_and_how() -> None:
    (finding,) = review_source("x = 1\n\nimport telnetlib\n", "a/b.py")
    assert (finding.path, finding.line, finding.column) == ("a/b.py", 3, 0)
    assert finding.message == "module telnetlib was removed in Python 3.13"
    assert finding.fix == "use the telnetlib3 package"
    assert finding.as_json()["rule"] == "PY101"


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n",
        "x = '\0'\n",
        "(" * 5000,
        "x = " + "-" * 50_000 + "1\n",
        "\ud800 = 1",
        "x" + ".a" * 20_000,
        "\ufeff",
        "1" * 5000,
    ],
)
def test_hopeless_text_is_a_finding_at_most(source: str) -> None:
    found = review_source(source, "a.py")
    assert {finding.rule for finding in found} <= {"PY100"}


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.characters(), max_size=300)
    | st.text("()[]{}:=\n \\'\"#abcdef.,*@~0123456789", max_size=200)
)
def test_no_text_makes_the_review_raise(text: str) -> None:
    for finding in review_source(text, "a.py", select=EVERY):
        assert finding.line >= 1
        finding.message.encode()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([line for pair in EXAMPLES.values() for code in pair for line in code.splitlines()]),
        max_size=12,
    )
)
def test_no_mixture_of_real_lines_makes_the_review_raise(lines: list[str]) -> None:
    review_source("\n".join(lines), "a.py", select=EVERY)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_file_content_makes_the_review_raise(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("source") / "a.py"
    path.write_bytes(data)
    review_file(path, select=EVERY)


@pytest.mark.parametrize(
    "data",
    [
        b"# -*- coding: nonsense -*-\n",
        b"# coding: utf-8\nx = '\xff'\n",
        b"# coding: hex\n00\n",
        b"\xff\xfe\x00",
        b"x = '\0'\n",
    ],
)
def test_a_file_with_a_bad_encoding_is_one_finding(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    assert [finding.rule for finding in review_file(path)] == ["PY100"]


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    (finding,) = review_file(tmp_path / "gone.py")
    assert finding.rule == "PY100"
    assert "No such file" in finding.message


def test_the_encoding_cookie_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\nimport imp\n".encode("latin-1"))
    assert [(finding.rule, finding.line) for finding in review_file(path)] == [("PY101", 3)]


def test_importing_the_review_imports_the_standard_library_only() -> None:
    program = (
        "import sys; import laneway.compat.review;"
        "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names);"
        "print(sorted(name for name in names if not name.startswith('__')))"
    )
    source = str(Path(__file__).parents[3] / "src")
    program = f"import sys; sys.path.insert(0, {source!r}); {program}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "['laneway']"
