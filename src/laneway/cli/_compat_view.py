"""How `laneway compat` shows a report on a terminal: counts, the table, risks, findings, changes."""

from collections.abc import Sequence

from rich.text import Text

from laneway._core.compat import Status
from laneway.cli import _screen as screen
from laneway.compat.baseline import Change
from laneway.compat.matrix import Report, Row, summary_of

__all__ = ["show_changes", "show_failures", "show_report"]

_STYLES: dict[Status, str] = {
    "green": "green",
    "yellow": "yellow",
    "red": "bold red",
    "unknown": "bright_black",
}
_MOST_FINDINGS = 40


def show_report(report: Report) -> None:
    """The matrix with what matters beside it."""
    console = screen.output()
    console.print(
        Text.assemble((report.target, "bold"), f"  {report.python}; {report.source}"), soft_wrap=True
    )
    columns = ("status", "dependency", "version", "interpreter", "free-threaded", "why")
    if report.rows:
        screen.print_table(columns, [_row(row, report.aspects) for row in report.rows])
    counts = summary_of(report.rows)
    told = [(f"{count} {status}  ", _STYLES[status]) for status, count in counts.items() if count]  # type: ignore[index]  # its keys are statuses
    console.print(
        Text.assemble(
            *(told or [("no dependencies ", "")]), (f"in {screen.seconds(report.seconds)}", "bright_black")
        )
    )
    for risk in report.risks:
        names = ", ".join(risk.names[:6]) + (
            f" and {len(risk.names) - 6} more" if len(risk.names) > 6 else ""
        )
        console.print(Text.assemble(("risk  ", "yellow"), f"{names}: {risk.risk}"), soft_wrap=True)
    if report.reviewed_files >= 0:
        _show_findings(report)


def _row(row: Row, aspects: Sequence[str]) -> list[str | Text]:
    main = row.cause(aspects)
    why = screen.without_controls(main.reason)
    if main.way_out and main.status != "green":
        why = f"{why}; {main.way_out}"
    return [
        Text(row.status, style=_STYLES[row.status]),
        Text(f"{row.name}{' *' if row.is_direct else ''}"),
        row.version,
        Text(row.interpreter.answer, style=_STYLES[row.interpreter.status]),
        Text(row.free_threaded.answer, style=_STYLES[row.free_threaded.status]),
        why,
    ]


def _show_findings(report: Report) -> None:
    console = screen.output()
    head = f"review: {screen.counted(report.reviewed_files, 'file')}, {screen.counted(len(report.findings), 'finding')}"
    console.print(Text(head, style="bold"))
    for one in report.findings[:_MOST_FINDINGS]:
        line = f"  {one.path}:{one.line}: {one.rule} {one.message}; {one.fix}"
        console.print(Text(screen.without_controls(line)), soft_wrap=True)
    if len(report.findings) > _MOST_FINDINGS:
        console.print(
            Text(f"  and {len(report.findings) - _MOST_FINDINGS} more; --json has all"), soft_wrap=True
        )


def show_changes(changes: Sequence[Change]) -> None:
    """What is different from an older report, on standard error when the report itself goes to standard output."""
    console = screen.errors()
    if not changes:
        console.print("no dependency changed")
    for one in changes:
        told = " → ".join(part for part in (one.before, one.after) if part)
        style = {"worse": "bold red", "better": "green"}.get(one.what, "")
        console.print(Text.assemble((f"{one.what:8}", style), f" {one.name}: {told}"), soft_wrap=True)


def show_failures(failures: Sequence[str]) -> None:
    """Why the exit status is 1."""
    console = screen.errors()
    for line in failures:
        console.print(Text.assemble(("failed ", "bold red"), screen.without_controls(line)), soft_wrap=True)
