"""Reports in every format, the checklist, baselines and what changed."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from compat_reports import GREEN, RED, YELLOW, report, row

from laneway.compat.baseline import baseline_of, changes_between, failures_of, read_baseline, read_report
from laneway.compat.checklist import checklist_of
from laneway.compat.errors import BaselineUnreadable
from laneway.compat.matrix import Report
from laneway.compat.render_ci import junit_of, sarif_of
from laneway.compat.render_html import html_of
from laneway.compat.render_markdown import markdown_of
from laneway.compat.review import DEFAULT_OFF
from laneway.compat.rule_page import PRECISION, rule_page

ROOT = Path(__file__).parents[3]


def test_json_round_trips_and_its_schema_is_published() -> None:
    one = report()
    assert msgspec.json.decode(msgspec.json.encode(one), type=Report) == one
    schema = msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Report)), indent=2) + b"\n"
    published = ROOT / "docs" / "reference" / "compat.schema.json"
    assert published.read_bytes() == schema, "write docs/reference/compat.schema.json again (see its page)"


class Reader(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in ("src", "href", "onclick", "onload")
        ]


def test_html_is_self_contained_and_escapes_what_comes_from_outside() -> None:
    page = html_of(report())
    reader = Reader()
    reader.feed(page)
    assert reader.tags.count("script") == 1
    assert reader.loads == []
    assert "<b>core</b>" not in page
    assert page.count('data-status="red"') == 2  # the row and the card that filters
    assert "<code>processes</code>" in page


def test_markdown_cannot_be_broken_by_what_comes_from_outside() -> None:
    text = markdown_of(report(), full=True)
    line = next(line for line in text.splitlines() if "| bad" in line)
    assert line.replace("\\|", "").count("|") == 8
    assert "<script>" not in text
    assert "## Checklist" in text
    assert "## Checklist" not in markdown_of(report(), full=False)


def test_junit_fails_the_cases_that_fail_the_check() -> None:
    one = report()
    root = ElementTree.fromstring(junit_of(one, failures_of(one, ["red", "warning"], None)))
    dependencies, review = root.findall("testsuite")
    failed = [
        case.get("name") for case in dependencies.findall("testcase") if case.find("failure") is not None
    ]
    skipped = [
        case.get("name") for case in dependencies.findall("testcase") if case.find("skipped") is not None
    ]
    assert (failed, skipped) == (["bad 1.0"], ["broken 1.0"])
    assert (dependencies.get("failures"), review.get("failures")) == ("1", "1")


def test_sarif_names_rule_level_and_place_of_everything_that_is_not_green() -> None:
    document: dict[str, Any] = msgspec.json.decode(sarif_of(report(), anchor="pyproject.toml"))
    run = document["runs"][0]
    assert document["version"] == "2.1.0"
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [
        ("DEPENDENCY", "error"),
        ("DEPENDENCY", "note"),
        ("DEPENDENCY", "warning"),
        ("FT203", "warning"),
    ]
    place = run["results"][-1]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "src/app.py"}, "region": {"startLine": 7, "startColumn": 5}}
    assert {one["ruleId"] for one in run["results"]} <= {one["id"] for one in run["tool"]["driver"]["rules"]}


def test_the_checklist_is_filled_from_facts() -> None:
    steps = {step.text: step for phase in checklist_of(report()) for step in phase.steps}
    assert len(checklist_of(report())) == 5
    assert steps["Test on the old version and on 3.14 side by side"].state == "done"
    assert steps["Require Python 3.14"].state == "done"
    assert steps['Let `lane="auto"` choose interpreters for the rest'].state == "blocked"
    assert "broken" in steps["Leave nothing unknown"].fact
    assert steps["Review your own source"].fact == "3 files, 1 findings"


def test_what_a_baseline_accepts_does_not_fail_until_it_gets_worse(tmp_path: Path) -> None:
    old = report(row("bad", RED), row("slow", YELLOW), row("good", GREEN))
    file = tmp_path / "baseline.json"
    file.write_bytes(msgspec.json.encode(baseline_of(old)))
    baseline = read_baseline(file)
    wishes = ["red", "warning"]
    assert failures_of(old, wishes, None)
    assert failures_of(old, wishes, baseline) == []
    worse = report(row("bad", RED), row("slow", RED), row("good", GREEN), row("new", RED), findings=2)
    assert [line.partition(" is ")[0] for line in failures_of(worse, wishes, baseline)] == [
        "slow 1.0",
        "new 1.0",
        "src/app.py:7: FT203 global x",
    ]
    better = report(row("bad", YELLOW), findings=0)
    assert failures_of(better, ["red", "yellow", "warning"], baseline) == []


def test_only_findings_at_least_as_severe_as_asked_for_fail() -> None:
    assert failures_of(report(), ["error"], None) == []
    assert len(failures_of(report(), ["note"], None)) == 1


def test_changes_name_what_got_worse_first() -> None:
    old = report(row("a", GREEN), row("b", RED), row("c", GREEN), row("gone", GREEN))
    new = report(row("a", RED), row("b", GREEN), row("c", GREEN, "2.0"), row("new", GREEN))
    found = [(one.what, one.name) for one in changes_between(old, new)]
    assert found == [("worse", "a"), ("added", "new"), ("changed", "c"), ("better", "b"), ("removed", "gone")]
    assert changes_between(old, old) == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"format": 9, "dependencies": {}, "findings": {}}']
)
def test_files_that_are_no_baseline_or_report_are_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(BaselineUnreadable, match=r"file\.json"):
        read_baseline(file)
    with pytest.raises(BaselineUnreadable, match=r"file\.json"):
        read_report(file)


def test_the_page_of_rules_is_in_step_with_the_rules() -> None:
    published = ROOT / "docs" / "reference" / "source-review.md"
    assert published.read_text() == rule_page(), "write it again: laneway.compat.rule_page.rule_page()"


def test_rules_measured_to_be_wrong_too_often_are_off() -> None:
    often_wrong = {rule for rule, (right, seen) in PRECISION.items() if seen >= 5 and right / seen < 0.8}
    assert often_wrong == DEFAULT_OFF - {"PY109"}  # that one is a matter of taste
