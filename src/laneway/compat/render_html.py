"""The report as one HTML file that loads nothing from elsewhere, with sorting and filtering."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from laneway._core.compat import Verdict
from laneway.compat.benchmark import NOT_MEASURED, table_of
from laneway.compat.checklist import checklist_of
from laneway.compat.matrix import Report, Row, summary_of

__all__ = ["html_of"]

_ORDER = {"red": 0, "unknown": 1, "yellow": 2, "green": 3}
_BOXES = {"done": "✓", "open": "○", "blocked": "✕"}


def html_of(report: Report) -> str:
    """A whole page. All text from outside is escaped; scripts and styles are inline, and nothing else may run."""
    place = files("laneway.compat")
    style = place.joinpath("report.css").read_text(encoding="utf-8")
    script = place.joinpath("report.js").read_text(encoding="utf-8")
    title = f"Adoption report: {escape(report.target)}"
    body = "\n".join([_head(report), _matrix(report), *_parts(report)])
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<script>\n{script}</script></body></html>\n"
    )


def _head(report: Report) -> str:
    counts = summary_of(report.rows)
    cards = "".join(
        f'<button type="button" class="card {status}" data-status="{status}" aria-pressed="false">'
        f"<b>{count}</b><span>{status}</span></button>"
        for status, count in counts.items()
    )
    trial = f" and {escape(report.free_threaded_python)}" if report.free_threaded_python else ""
    return (
        f"<header><h1>{escape(report.target)}</h1>"
        f"<p>{escape(report.python)}{trial}; {escape(report.source)}. "
        f"Judged by: {escape(', '.join(report.aspects))}.</p>"
        f'<div class="cards" role="group" aria-label="Filter by status">{cards}</div></header>'
    )


def _matrix(report: Report) -> str:
    head = "".join(
        f'<th scope="col" aria-sort="{sort}"><button type="button">{name}</button></th>'
        for name, sort in (
            ("status", "ascending"),
            ("dependency", "none"),
            ("version", "none"),
            ("interpreter", "none"),
            ("free-threaded", "none"),
            ("install", "none"),
            ("why, and what to do", "none"),
        )
    )
    rows = "\n".join(_row(row, report.aspects) for row in report.rows)
    return (
        '<section><h2>Dependencies</h2><div class="tools">'
        '<label>Find <input id="find" type="search" autocomplete="off" placeholder="name or reason"></label>'
        '<label><input id="direct" type="checkbox"> direct only</label>'
        '<label><input id="native" type="checkbox"> native only</label>'
        '<output id="shown" aria-live="polite"></output></div>'
        f'<div class="scroll"><table id="matrix"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'
        '<p id="nothing" hidden>No dependency matches.</p></section>'
    )


def _row(row: Row, aspects: Sequence[str]) -> str:
    wheels = ", ".join(f"{build}: {tag}" for build, tag in sorted(row.wheels.items())) or "no index data"
    slots = ", ".join(f"{count} × {escape(kind)}" for kind, count in sorted(row.slots.items())) or "none"
    latest = (
        f' <span class="dim">({escape(row.latest)} is out)</span>'
        if row.latest not in ("", row.version)
        else ""
    )
    marks = '<span class="tag">direct</span>' if row.is_direct else ""
    marks += '<span class="tag">native</span>' if row.kind == "native" else ""
    main = row.cause(aspects)
    reason = f"<p>{escape(main.reason)}</p>" if main.reason else ""
    way = f'<p class="way">→ {_marked(main.way_out)}</p>' if main.way_out else ""
    return (
        f'<tr data-status="{row.status}" data-direct="{int(row.is_direct)}" data-kind="{row.kind}">'
        f'<td data-key="{_ORDER[row.status]}"><span class="dot {row.status}">{row.status}</span></td>'
        f'<td data-key="{escape(row.name)}"><b>{escape(row.name)}</b> {marks}</td>'
        f"<td>{escape(row.version) or '–'}{latest}</td>"
        f"{_cell(row.interpreter)}{_cell(row.free_threaded)}{_cell(row.install)}"
        f"<td>{reason}{way}<details><summary>facts</summary><dl>"
        f"<dt>imports</dt><dd>{escape(', '.join(row.tops[:8]) or 'nothing')}</dd>"
        f"<dt>extension modules</dt><dd>{row.extensions} ({slots})</dd>"
        f"<dt>wheels</dt><dd>{escape(wheels)}</dd>"
        f"<dt>free-threaded</dt><dd>{escape(row.free_threaded.reason or row.free_threaded.answer)}</dd>"
        f"<dt>probe</dt><dd>{row.seconds:.2f} s, {row.memory_kib // 1024} MiB"
        f"{', from the cache' if row.from_cache else ''}</dd>"
        "</dl></details></td></tr>"
    )


def _cell(verdict: Verdict) -> str:
    return (
        f'<td data-key="{_ORDER[verdict.status]}{escape(verdict.answer)}">'
        f'<span class="dot {verdict.status}">{escape(verdict.answer)}</span></td>'
    )


def _parts(report: Report) -> Iterable[str]:
    items = "".join(
        f"<li><b>{escape(', '.join(one.names[:12]))}"
        f"{f' and {len(one.names) - 12} more' if len(one.names) > 12 else ''}</b> "
        f'{escape(one.risk)}. <span class="dim">{_marked(one.advice)}</span></li>'
        for one in report.risks
    )
    yield f"<section><h2>Risks</h2>{f'<ul>{items}</ul>' if items else '<p>None was found.</p>'}</section>"
    yield _review(report)
    yield _benchmark(report)
    phases = "".join(
        f"<div class='phase'><h3>{escape(phase.name)}</h3><ul class='steps'>"
        + "".join(
            f'<li class="{step.state}"><span class="box" aria-label="{step.state}">{_BOXES[step.state]}</span>'
            f'<div>{_marked(step.text)}<br><span class="dim">{_marked(step.fact)}</span></div></li>'
            for step in phase.steps
        )
        + "</ul></div>"
        for phase in checklist_of(report)
    )
    yield f'<section><h2>Checklist</h2><div class="phases">{phases}</div></section>'
    yield (
        f'<footer class="dim">Made {escape(report.made)} by Laneway {escape(report.laneway)} in {report.seconds:.1f} s'
        f"{', deep' if report.deep else ''}.</footer>"
    )


def _review(report: Report) -> str:
    if report.reviewed_files < 0:
        return (
            "<section><h2>Source review</h2><p>Not asked for; give <code>--source DIR</code>.</p></section>"
        )
    rows = "".join(
        f"<tr><td><code>{escape(one.path)}:{one.line}</code></td><td>{escape(one.rule)}</td>"
        f'<td><span class="dot {_SEVERITIES.get(one.severity, "unknown")}">{escape(one.severity)}</span></td>'
        f'<td>{escape(one.message)}<p class="way">→ {escape(one.fix)}</p></td></tr>'
        for one in report.findings
    )
    table = (
        '<div class="scroll"><table><thead><tr><th>place</th><th>rule</th><th>severity</th>'
        "<th>finding and fix</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
        if rows
        else ""
    )
    return (
        f"<section><h2>Source review</h2><p>{report.reviewed_files} files, {len(report.findings)} findings.</p>"
        f"{table}</section>"
    )


_SEVERITIES = {"error": "red", "warning": "yellow", "note": "unknown"}


def _benchmark(report: Report) -> str:
    if report.benchmark is None:
        return f"<section><h2>Benchmark</h2><p>{_marked(NOT_MEASURED)}</p></section>"
    found = table_of(report.benchmark)
    head = "".join(f"<th>{escape(one)}</th>" for one in found.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in found.rows)
    notes = "".join(f'<p class="dim">{escape(one)}</p>' for one in found.notes)
    return (
        f'<section><h2>Benchmark</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{notes}</section>"
    )


def _marked(text: str) -> str:
    """Escaped text with what stands between back-ticks as code."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
