"""The source-audit example, its steps called as plain functions."""

import asyncio
import importlib
import json
import os
import re
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[3] / "examples" / "source-audit" / "src"


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SOURCE))
    return importlib.import_module("source_audit")


def module(name: str) -> Any:
    return importlib.import_module(f"source_audit.{name}")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def listed(audit: Any, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in asyncio.run(audit.list_files(str(root)))]


def audited(audit: Any, root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    files = [audit.analyse(path) for path in asyncio.run(audit.list_files(str(root)))]
    return audit.rank(str(root), files), files


class Page(HTMLParser):
    """The tags, attributes and text of a page; and whether each tag that opens is closed."""

    VOID = ("meta", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.opened and self.opened[-1] not in ("script", "style"):
            self.words.append(data)


def test_listing_finds_python_files_sorted_and_leaves_out_what_is_not_the_projects(
    audit: Any, tmp_path: Path
) -> None:
    names = [
        "b.py",
        "a/z.py",
        "a.txt",
        "__pycache__/a.py",
        ".git/x.py",
        "lib/site-packages/p.py",
        "node_modules/n.py",
    ]
    write(tmp_path, dict.fromkeys(names, ""))
    write(
        tmp_path,
        dict.fromkeys(["tests/t.py", "tests/tokenizedata/bad.py", "tests/badsyntax/x.py", "data/d.py"], ""),
    )
    assert listed(audit, tmp_path) == ["a/z.py", "b.py", "data/d.py", "tests/t.py"]


def test_listing_does_not_follow_links_to_folders_and_survives_broken_ones(
    audit: Any, tmp_path: Path
) -> None:
    write(tmp_path, {"a.py": ""})
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert listed(audit, tmp_path) == ["a.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_listing_skips_folders_that_cannot_be_read(audit: Any, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "", "secret/b.py": ""})
    (tmp_path / "secret").chmod(0)
    try:
        assert listed(audit, tmp_path) == ["a.py"]
    finally:
        (tmp_path / "secret").chmod(0o755)


def test_listing_takes_one_file_and_refuses_nothing(audit: Any, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": ""})
    assert asyncio.run(audit.list_files(str(tmp_path / "a.py"))) == [(tmp_path / "a.py").as_posix()]
    with pytest.raises(FileNotFoundError, match="nothing to audit"):
        asyncio.run(audit.list_files(str(tmp_path / "no")))


def test_a_file_is_measured(audit: Any, tmp_path: Path) -> None:
    source = '''\
        """A module."""
        import os
        import telnetlib  # old

        # a comment
        class Thing:
            def go(self, x):
                if x and os.name:
                    for y in x:
                        while y:
                            y = [z for z in y if z]
                elif not x:
                    return 1
                return 2

        def _private():
            return lambda: 0
        '''
    write(tmp_path, {"m.py": source})
    figures = audit.analyse((tmp_path / "m.py").as_posix())
    assert (figures["lines"], figures["code"], figures["comments"]) == (17, 14, 2)
    assert (figures["functions"], figures["classes"]) == (2, 1)
    # if, and, for, while, comprehension with if (2), elif: 1 + 7
    assert figures["worst"][0] == ["Thing.go", 7, 8, 3, 8]
    assert figures["undocumented_first"] == [["Thing", 6], ["Thing.go", 7]]
    assert [one[0] for one in figures["imports"]] == ["os", "telnetlib"]
    assert figures["rules"] == {"PY101": 1}
    assert figures["findings"][0][:3] == ["PY101", 3, 0]


@pytest.mark.parametrize(
    ("source", "complexity"),
    [
        ("def f(): pass\n", 1),
        ("def f(x):\n    return 1 if x else 2\n", 2),
        ("def f(x):\n    try:\n        g()\n    except A:\n        pass\n    except B:\n        pass\n", 3),
        ("def f(x):\n match x:\n  case 1:\n   a\n  case 2:\n   b\n  case _:\n   c\n", 3),
        ("def f(a, b, c):\n    return a and b or c\n", 3),
        ("def f():\n    def g():\n        if x:\n            pass\n", 1),
        ("async def f():\n    async for x in y:\n        assert x\n", 3),
    ],
)  # fmt: skip
def test_complexity_counts_decisions(audit: Any, source: str, complexity: int) -> None:
    figures = module("measure").measure_source(source, "m.py")
    assert next(one[2] for one in figures["worst"] if one[0] == "f") == complexity


@pytest.mark.parametrize(
    "data",
    [
        b"def f(:\n",
        b"# coding: nonsense\n",
        b"x = '\xff'\n",
        b"x = '\0'\n",
        b"x = " + b"(" * 3000 + b")" * 3000,
        b"x = " + b"-" * 100_000 + b"1\n",
        b"x" + b".a" * 30_000 + b"\n",
        b"\xef\xbb\xbf\xef\xbb\xbf",
    ],
)
def test_a_file_that_cannot_be_parsed_is_a_finding(audit: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(data)
    figures = audit.analyse(path.as_posix())
    assert figures["rules"] == {"PY100": 1}
    assert set(figures) == set(audit.analyse(__file__))


def test_a_file_that_vanished_is_a_finding(audit: Any, tmp_path: Path) -> None:
    figures = audit.analyse((tmp_path / "gone.py").as_posix())
    assert figures["findings"][0][0] == "PY100"


def test_results_are_json_and_small(audit: Any, tmp_path: Path) -> None:
    line = "import telnetlib, cgi, os, sys, {0}_m{1}\n"
    body = "".join(line.format("x" * 20, number) for number in range(500))
    body += "".join(f"def {'f' * 30}{number}(a):\n    return a and a\n" for number in range(500))
    write(tmp_path, {"big.py": body})
    figures = audit.analyse((tmp_path / "big.py").as_posix())
    assert figures["findings_more"] > 900
    assert figures["imports_more"] > 400
    assert len(json.dumps(figures, allow_nan=False)) < 8_000


def test_own_modules_with_the_name_of_a_removed_one_are_no_finding(audit: Any, tmp_path: Path) -> None:
    rank, _ = audited(audit, write(tmp_path, {"cgi.py": "", "a.py": "import cgi\n", "b.py": "import imp\n"}))
    assert [(one["path"], one["rule"]) for one in rank["findings"]] == [("b.py", "PY101")]
    assert rank["totals"]["error"] == 1


def test_imports_are_checked_against_the_tree_and_the_interpreter(audit: Any, tmp_path: Path) -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/a.py": "from pkg import b\nimport pkg.b\nimport no_such_module_here\nimport os\n",
        "pkg/b.py": "from . import c\nfrom .c import x\n",
        "pkg/c.py": "from pkg.a import y\ntry:\n    import also_not_here\nexcept ImportError:\n    pass\n",
        "pkg/lazy.py": "def f():\n    import pkg.lazy2\n",
        "pkg/lazy2.py": "import pkg.lazy\n",
    }
    rank, _ = audited(audit, write(tmp_path, files))
    assert [one["module"] for one in rank["imports"]["missing"]] == ["no_such_module_here"]
    assert [one["chain"] for one in rank["imports"]["cycles"]] == ["pkg.a, pkg.b, pkg.c"]
    assert any(one["kind"] == "import-cycle" for one in rank["top"])


def test_the_top_ten_shows_different_kinds_and_errors_first(audit: Any, tmp_path: Path) -> None:
    files = {f"m{number}.py": "N = 0\ndef f():\n    global N\n    N += 1\n" for number in range(20)}
    files |= {"a.py": "import imp\n", "b.py": "import ast\nast.Num\n", "tests/test_c.py": "import cgi\n"}
    rank, _ = audited(audit, write(tmp_path, files))
    kinds = [one["kind"] for one in rank["top"]]
    assert len(kinds) == 10
    assert kinds[:2] == ["PY101", "PY101"]
    assert {"PY102", "FT203"} < set(kinds)


def test_an_empty_tree_gives_a_report(audit: Any, tmp_path: Path) -> None:
    rank, files = audited(audit, tmp_path)
    made = audit.write_report(str(tmp_path / "out"), rank, files)
    assert made["top"] == []
    assert Page(Path(made["html"]).read_text(encoding="utf-8")).opened == []


def test_reports_are_written_whole_and_say_the_same(audit: Any, tmp_path: Path) -> None:
    root = write(tmp_path / "src", {"a.py": "import imp\n", "b.py": "def f(:\n"})
    rank, files = audited(audit, root)
    made = audit.write_report(str(tmp_path / "deep" / "out"), rank, files)
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == [
        "source-audit.html",
        "source-audit.md",
    ]
    html = Page(Path(made["html"]).read_text(encoding="utf-8"))
    markdown = Path(made["markdown"]).read_text(encoding="utf-8")
    for text in ("module imp was removed in Python 3.12", "2 files"):
        assert text in markdown
    assert any("module imp was removed in Python 3.12" in word for word in html.words)
    assert made["totals"]["unreadable"] == 1
    json.dumps(made)


def test_all_text_in_the_page_is_escaped(audit: Any, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\"' onmouseover='x"
    rank, files = audited(
        audit, write(tmp_path, {"a.py": "import imp\nN = 0\ndef f():\n    global N\n    N += 1\n"})
    )

    def poisoned(value: Any) -> Any:
        if isinstance(value, str):
            return value + hostile if value not in ("error", "warning", "note") else value
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        return {key: poisoned(one) for key, one in value.items()} if isinstance(value, dict) else value

    page = Page(module("page").html_report(poisoned(rank), poisoned(files)))
    assert page.opened == []
    assert page.tags.count("script") == 1
    assert {name for name, _ in page.attributes if name.startswith("on")} == set()
    markdown = module("text").markdown_report(poisoned(rank))
    assert "<script>" not in re.sub(r"`[^`\n]*`", "", markdown)


def test_the_page_loads_nothing_and_can_be_used_without_a_mouse(audit: Any, tmp_path: Path) -> None:
    rank, files = audited(audit, write(tmp_path, {"a.py": "import imp\n"}))
    text = module("page").html_report(rank, files)
    page = Page(text)
    assert not re.search(r"(src|href)=['\"](?!#)|url\(|@import|https?:", text)
    assert ("lang", "en") in page.attributes
    targets = [value for name, value in page.attributes if name == "href" and value]
    names = {value for name, value in page.attributes if name == "id"}
    assert {target.removeprefix("#") for target in targets} <= names
    assert len(names) == sum(name == "id" for name, _ in page.attributes)


def test_the_page_stays_small_for_thousands_of_files(audit: Any, tmp_path: Path) -> None:
    _, (file, *_) = audited(audit, write(tmp_path, {"a.py": "import imp\n" * 40 + "x = 1\n" * 100}))
    many = [
        {**file, "path": f"{tmp_path.as_posix()}/some/folder/with/a/name/module_{number}.py"}
        for number in range(5000)
    ]
    rank = audit.rank(str(tmp_path), many)
    assert len(json.dumps(rank)) < 400_000
    assert len(module("page").html_report(rank, many)) < 4_000_000


def test_the_tasks_form_the_workflow(audit: Any) -> None:
    tasks = {spec.id: spec for spec in audit.source_audit.spec.tasks}
    assert list(tasks) == ["list_files", "analyse", "rank", "write_report"]
    assert [tasks[name].lane for name in tasks] == ["loop", "interpreter", "thread", "thread"]
    assert tasks["analyse"].each == "list_files"
    assert tasks["analyse"].batch > 1


def test_nothing_outside_the_standard_library_is_imported(audit: Any) -> None:
    own = {"source_audit", "laneway"}
    for path in (SOURCE / "source_audit").glob("*.py"):
        for name in module("measure").measure_file(path.as_posix())["imports"]:
            assert name[0].partition(".")[0] in own | set(sys.stdlib_module_names)
