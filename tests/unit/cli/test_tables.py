"""Tables on terminals of any width: nothing is broken into pieces that nobody can read or copy."""

import io

import pytest
from rich.console import Console

from laneway.cli import _screen as screen

RUN = "01a1fdd6-b0e6-759e-93aa-e4ea4d56a052"
COLUMNS = ["run", "workflow", "began", "error"]
ROWS = [[RUN, "greetings", "5 s ago", "words: it is no text\nat all"], [RUN, "other", "", ""]]


def _printed(monkeypatch: pytest.MonkeyPatch, width: int, *, below: tuple[str, ...]) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(screen, "output", lambda: console)
    screen.print_table(COLUMNS, ROWS, below=below)
    return written.getvalue().splitlines()


def test_a_table_that_fits_has_one_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(monkeypatch, 120, below=("error", "began"))
    assert lines[0].split() == COLUMNS
    assert "5 s ago" in lines[1]
    assert "words: it is no text" in lines[1]


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_ids_stay_whole_on_narrow_terminals(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = _printed(monkeypatch, width, below=("error", "began"))
    assert lines[0].split()[:2] == ["run", "workflow"]
    assert [line.split()[:2] for line in lines if line.startswith(RUN)] == [
        [RUN, "greetings"],
        [RUN, "other"],
    ]
    assert all(len(line) <= width for line in lines if line.startswith("  "))


def test_what_does_not_fit_stands_below_its_row_and_only_where_there_is_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = _printed(monkeypatch, 52, below=("error", "began"))
    assert lines[2] == "  began 5 s ago · error words: it is no text at all"
    assert lines[3].split() == [RUN, "other"]
    assert len(lines) == 4
