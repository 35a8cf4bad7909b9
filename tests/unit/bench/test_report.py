"""The benchmark part of the adoption report: kept results that still hold, or a file, as a table."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from compat_reports import report
from lane_results import lane, times

from laneway._core.lane_times import LaneTimes, TaskTimes
from laneway._core.model import TaskSpec
from laneway.bench.lanes import Settings
from laneway.bench.result import as_data
from laneway.compat.benchmark import kept_benchmark, table_of
from laneway.compat.measured import MeasuredTimes, build_label
from laneway.compat.render_html import html_of
from laneway.compat.render_markdown import markdown_of
from laneway.ports import Unit

RESULT = msgspec.structs.replace(
    times(lane("thread", 1.0), lane("interpreter", 0.5), LaneTimes("process", "refused", "no")),
    verdict="the interpreter lane passes",
    python=build_label(),
    made="2026-11-20T10:00:00+00:00",
)


def in_file(file: Path, made: str = RESULT.made) -> TaskTimes:
    content = f"burn {sha256(file.read_bytes()).hexdigest()}"
    return msgspec.structs.replace(RESULT, place=str(file), content=content, made=made)


def keep(folder: Path, found: TaskTimes) -> MeasuredTimes:
    store = MeasuredTimes(folder)
    spec = TaskSpec(found.task, f"m:{found.task}", file=found.place)
    store.keep(spec, Unit(f"module:{found.place}", "module", "m"), found)
    return store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "project" / "work.py"
    file.parent.mkdir()
    file.write_text("def burn(): ...\n", "utf-8")
    return file


def test_a_project_has_the_results_of_its_files(tmp_path: Path, source: Path) -> None:
    store = keep(tmp_path / "kept", in_file(source))
    found = kept_benchmark(root=source.parent, measured=store)
    assert found is not None
    assert [one["task"] for one in found["tasks"]] == ["burn"]
    assert kept_benchmark(root=tmp_path / "kept", measured=store) is None


def test_results_of_a_file_as_it_was_before_are_left_out(tmp_path: Path, source: Path) -> None:
    store = keep(tmp_path / "kept", in_file(source))
    source.write_text("def burn(): return 1\n", "utf-8")
    assert kept_benchmark(root=source.parent, measured=store) is None


def test_a_package_has_the_results_of_its_content_alone(tmp_path: Path) -> None:
    found = msgspec.structs.replace(RESULT, place="/somewhere", content="package:p@1:abc")
    store = keep(tmp_path / "kept", found)
    assert kept_benchmark(content="package:p@1:abc", measured=store) is not None
    assert kept_benchmark(content="package:p@2:def", measured=store) is None


def test_the_table_has_a_column_for_each_lane_that_was_measured() -> None:
    table = table_of(as_data("x", [RESULT], [], Settings()))
    assert table.columns == ("task", "of", "one call", "thread", "interpreter", "process", "verdict")
    assert table.rows == [
        ("burn", "m", "100 ms", "1.00 x (+0 %)", "2.00 x (-50 %)", "refused", "the interpreter lane passes")
    ]
    assert any("2026-11-20" in note for note in table.notes)


def test_a_file_in_no_known_form_is_shown_path_by_path() -> None:
    assert table_of({"results": [1, {"a": "b"}]}).rows == [("results[0]", "1"), ("results[1].a", "b")]


def test_both_forms_of_the_report_show_the_table_and_no_markup_of_others() -> None:
    evil = msgspec.structs.replace(RESULT, task="<b>|`x`", unit="<script>")
    shown = msgspec.structs.replace(report(), benchmark=as_data("x", [evil], [], Settings()))
    markdown = markdown_of(shown, full=True)
    assert "2.00 x (-50 %)" in markdown
    assert "| &lt;b&gt;\\|\\`x\\` |" in markdown
    html = html_of(shown)
    assert "<td>&lt;script&gt;</td>" in html
    assert "<td>2.00 x (-50 %)</td>" in html


def test_without_a_result_the_report_says_how_to_get_one() -> None:
    assert "laneway bench lanes TARGET --save" in markdown_of(report(), full=True)
    assert "<code>laneway bench lanes TARGET --save</code>" in html_of(report())
