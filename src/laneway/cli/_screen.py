"""What commands write: tables and lines for people, JSON for programs. The terminal is asked about here only."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "ago",
    "clock",
    "counted",
    "errors",
    "is_live",
    "keep_stdout_for_result",
    "output",
    "print_json",
    "print_table",
    "say",
    "seconds",
    "status_text",
    "without_controls",
]

_STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "suspended": "yellow",
    "running": "cyan",
    "waiting": "cyan",
    "skipped": "bright_black",
}


def output() -> Console:
    """Standard output, for results."""
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)


def errors() -> Console:
    """Standard error, for progress and messages."""
    return Console(file=sys.stderr, highlight=False, emoji=False, markup=False)


def is_live() -> bool:
    """Whether a display that redraws itself makes sense: both streams are a terminal that can move its cursor."""
    return sys.stdout.isatty() and sys.stderr.isatty() and not errors().is_dumb_terminal


def keep_stdout_for_result() -> int:
    """Point everything that this process and its tasks print at standard error; returns the real standard output.

    So that `--json` gives exactly one object there, whatever tasks, their C code and their child processes print.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def print_json(value: Any, *, to: int | None = None) -> None:
    """One JSON document and a line's end."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    if to is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    with os.fdopen(to, "wb") as stream:
        stream.write(data)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    below: Sequence[str] = (),
) -> None:
    """A table on a terminal; in a pipe plain lines, aligned and never cut.

    Args:
        columns: their headings.
        rows: one cell per column.
        right: columns whose cells stand at the right.
        below: columns that go below their row where the terminal is too narrow for all, the first ones first.
    """
    console = output()
    if console.is_terminal:
        if below and _width(columns, rows) > console.width:
            _print_narrow(console, columns, rows, below)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    plain = [[str(cell).replace("\n", " ") for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[index]) for row in plain) for index in range(len(columns))]
    for row in plain:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _width(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> int:
    """Columns of the terminal that a table needs."""
    widths = [max(cell_len(str(row[at])) for row in [columns, *rows]) for at in range(len(columns))]
    return sum(widths) + 2 * (len(widths) - 1)


def _print_narrow(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], below: Sequence[str]
) -> None:
    """Rows with some of their cells on a second line, so that none is broken into pieces."""
    kept = [*range(len(columns))]
    moved: list[int] = []
    for name in below:
        if name in columns:
            moved.append(columns.index(name))
            kept.remove(moved[-1])
        if _width([columns[at] for at in kept], [[row[at] for at in kept] for row in rows]) <= console.width:
            break
    widths = [max(cell_len(str(row[at])) for row in [columns, *rows]) for at in kept]

    def line(row: Sequence[str | Text]) -> None:
        text = Text()
        for at, width in zip(kept, widths, strict=True):
            cell = Text.assemble(row[at])
            text += cell + " " * (width - cell.cell_len + 2)
        text.rstrip()
        console.print(text, soft_wrap=True)

    line([Text(name, style="bold") for name in columns])
    for row in rows:
        line(row)
        more = [f"{columns[at]} {row[at]}" for at in sorted(moved) if str(row[at])]
        if more:
            said = Text("  " + " · ".join(more).replace("\n", " "), style="bright_black")
            console.print(said, overflow="ellipsis", no_wrap=True)


def say(console: Console, text: str | Text) -> None:
    """A sentence: wrapped between words on a terminal, one line in a pipe."""
    console.print(text, soft_wrap=not console.is_terminal)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def without_controls(text: str) -> str:
    """Text from outside without characters that would drive the terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 0.0995:
        return f"{value * 1000:.3g} ms"
    if value < 9.95:
        return f"{value:.2g} s"
    if value < 99.5:
        return f"{value:.0f} s"
    return clock(value)


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock(value: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(since: float) -> str:
    """How long ago, roughly."""
    if since < 90:
        return f"{max(since, 0):.0f} s ago"
    if since < 5400:
        return f"{since / 60:.0f} min ago"
    if since < 129_600:
        return f"{since / 3600:.0f} h ago"
    return f"{since / 86_400:.0f} days ago"
