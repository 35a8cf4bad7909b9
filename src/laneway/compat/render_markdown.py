"""The report as Markdown: the matrix alone, or all of it."""

from collections.abc import Iterable, Sequence

from laneway.compat.benchmark import NOT_MEASURED, table_of
from laneway.compat.checklist import checklist_of
from laneway.compat.matrix import Report, Row, summary_of

__all__ = ["markdown_of"]

_MARKS = {"green": "🟢", "yellow": "🟡", "red": "🔴", "unknown": "⚪"}
_BOXES = {"done": "[x]", "open": "[ ]", "blocked": "[ ] ⛔"}
_MOST_FINDINGS = 200


def markdown_of(report: Report, *, full: bool) -> str:
    """A Markdown document. `full` adds risks, review, benchmark and checklist."""
    title = "Adoption report" if full else "Compatibility"
    counts = summary_of(report.rows)
    told = ", ".join(f"{_MARKS[status]} {count} {status}" for status, count in counts.items() if count)
    parts = [
        f"# {title}: {_text(report.target)}",
        f"{report.python}; {_text(report.source)}. Made {report.made} by Laneway {report.laneway}.",
        f"**{told or 'no dependencies'}** (judged by: {', '.join(report.aspects)})",
        "## Dependencies",
        _table(report.rows, report.aspects),
    ]
    if full:
        parts += _rest(report)
    elif report.findings:
        parts += _review(report)
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], aspects: Sequence[str]) -> str:
    head = "| | dependency | version | interpreter | free-threaded | reason | way out |\n|---|---|---|---|---|---|---|"
    lines = [
        f"| {_MARKS[row.status]} | {_text(row.name)}{' (direct)' if row.is_direct else ''} | {_text(row.version)} "
        f"| {row.interpreter.answer} | {row.free_threaded.answer} "
        f"| {_text(row.cause(aspects).reason)} | {_text(row.cause(aspects).way_out)} |"
        for row in rows
    ]
    return "\n".join([head, *lines])


def _rest(report: Report) -> list[str]:
    parts = ["## Risks"]
    parts += [
        "\n".join(f"- **{_text(', '.join(one.names[:12]))}{_more(one.names)}**: {_text(one.risk)}. {_text(one.advice)}"
                  for one in report.risks) or "None was found."
    ]  # fmt: skip
    parts += _review(report)
    parts += ["## Benchmark", _benchmark(report)]
    parts.append("## Checklist")
    for phase in checklist_of(report):
        steps = "\n".join(f"- {_BOXES[step.state]} {step.text}: {_text(step.fact)}" for step in phase.steps)
        parts += [f"### {phase.name}", steps]
    return parts


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 12} more" if len(names) > 12 else ""


def _review(report: Report) -> list[str]:
    if report.reviewed_files < 0:
        return ["## Source review", "Not asked for; give `--source DIR`."]
    if not report.findings:
        return ["## Source review", f"{report.reviewed_files} files, no findings."]
    head = "| place | rule | finding | fix |\n|---|---|---|---|"
    lines: Iterable[str] = (
        f"| {_text(one.path)}:{one.line} | {one.rule} {one.severity} | {_text(one.message)} | {_text(one.fix)} |"
        for one in report.findings[:_MOST_FINDINGS]
    )
    rest = len(report.findings) - _MOST_FINDINGS
    note = f"{report.reviewed_files} files, {len(report.findings)} findings" + (
        f", the first {_MOST_FINDINGS} of them:" if rest > 0 else ":"
    )
    return ["## Source review", note, "\n".join([head, *lines])]


def _benchmark(report: Report) -> str:
    if report.benchmark is None:
        return NOT_MEASURED
    found = table_of(report.benchmark)
    head = f"| {' | '.join(found.columns)} |\n|{'---|' * len(found.columns)}"
    lines = [f"| {' | '.join(_text(cell) for cell in row)} |" for row in found.rows]
    return "\n".join([head, *lines]) + "".join(f"\n\n{_text(note)}" for note in found.notes)


def _text(text: str) -> str:
    """Text from outside, so that it cannot break the table or bring in markup."""
    cleaned = "".join(one if one.isprintable() else " " for one in text)
    return cleaned.translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": "\\\\", "|": "\\|", "`": "\\`", "<": "&lt;", ">": "&gt;", "*": "\\*"})
