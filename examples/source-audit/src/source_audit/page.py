"""The HTML report: one file that needs nothing else. All text is escaped; sizes are bounded."""

from html import escape
from pathlib import Path
from typing import Any

__all__ = ["html_report"]

type File = dict[str, Any]
type Cell = tuple[str, str | None]
"""Markup, and the sort key if the text will not do."""

_MOST_ROWS = 3000
_MOST_DETAILS = 400
_INLINE = "'unsafe-inline'"
_POLICY = (
    f"default-src 'none'; style-src {_INLINE}; script-src {_INLINE}; base-uri 'none'; form-action 'none'"
)
_SECTIONS = (
    ("top", "Read first"),
    ("rules", "Rules"),
    ("findings", "Findings"),
    ("functions", "Functions"),
    ("documentation", "Documentation"),
    ("imports", "Imports"),
    ("files", "Files"),
    ("details", "File by file"),
)


def html_report(rank: dict[str, Any], files: list[File]) -> str:
    """The whole page."""
    folder = rank["folder"].rstrip("/") + "/"
    weighty = sorted(files, key=_weight, reverse=True)
    detailed = [file for file in weighty if _weight(file) > 0][:_MOST_DETAILS]
    anchors = {file["path"]: f"f{number}" for number, file in enumerate(detailed)}
    by_name = {path.removeprefix(folder): anchor for path, anchor in anchors.items()}
    body = [
        _header(rank),
        "<main id='main'>",
        _top(rank, by_name),
        "<div class='split'>",
        _rules(rank),
        _spread(rank),
        "</div>",
        _findings(rank, by_name),
        _functions(rank, by_name),
        "<div class='split'>",
        _documentation(rank, by_name),
        _imports(rank),
        "</div>",
        _files(weighty, folder, anchors),
        _details(detailed, len(files), folder, anchors),
        "</main>",
        "<footer>Made by the Laneway package <code>source-audit</code>. It loads nothing from elsewhere.</footer>",
    ]
    here = Path(__file__)
    style = here.with_name("page.css").read_text(encoding="utf-8")
    script = here.with_name("page.js").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Source audit of {_text(rank['root'])}</title><style>{style}</style></head><body>"
        f"<a class='skip' href='#main'>Skip to the content</a>{''.join(body)}<script>{script}</script></body></html>\n"
    )


def _text(value: object) -> str:
    return escape(str(value).encode("utf-8", "replace").decode(), quote=True)


def _weight(file: File) -> int:
    return 20 * len(file["findings"]) + int(max(0, file["complexity_max"] - 10))


def _place(path: str, line: int, anchors: dict[str, str]) -> str:
    name = f"{_text(path)}:{line:d}"
    anchor = anchors.get(path)
    inner = f"<a href='#{anchor}'>{name}</a>" if anchor else name
    return f"<span class='path'>{inner}</span>"


def _tag(label: str, severity: str) -> str:
    return f"<span class='tag {_text(severity)}'>{_text(label)}</span>"


def _header(rank: dict[str, Any]) -> str:
    totals = rank["totals"]
    documented = 100 - round(100 * totals["undocumented"] / totals["public"]) if totals["public"] else 100
    tiles = (
        (f"{totals['files']:,}", "files"),
        (f"{totals['lines']:,}", "lines"),
        (f"{totals['functions']:,}", "functions"),
        (f"{totals['error']:,}", "errors"),
        (f"{totals['warning']:,}", "warnings"),
        (f"{totals['hazards']:,}", "thread hazards"),
        (f"{documented}%", "of the public API documented"),
        (f"{totals['unreadable']:,}", "files that do not parse"),
    )
    links = "".join(f"<a href='#{anchor}'>{label}</a>" for anchor, label in _SECTIONS)
    shown = "".join(f"<div class='tile'><b>{value}</b><span>{label}</span></div>" for value, label in tiles)
    return (
        f"<header><h1>Source audit</h1><p class='about path'>{_text(rank['root'])}</p>"
        f"<div class='tiles'>{shown}</div><nav aria-label='Sections'>{links}</nav></header>"
    )


def _section(anchor: str, title: str, body: str, *, controls: str = "", count: str = "") -> str:
    note = f"<span class='count' role='status'>{count}</span>" if count else ""
    return (
        f"<section id='{anchor}' aria-labelledby='{anchor}-h'><div class='bar'><h2 id='{anchor}-h'>{title}</h2>{note}"
        f"{controls}</div>{body}</section>"
    )


def _controls(label: str, choices: tuple[str, ...] = ()) -> str:
    options = "".join(f"<option>{_text(choice)}</option>" for choice in choices)
    select = (
        f"<select aria-label='Kind of {label}'><option value=''>all</option>{options}</select>"
        if choices
        else ""
    )
    box = f"<input type='search' placeholder='Filter' aria-label='Filter {label}'>"
    return f"<span class='controls'>{select}{box}</span>"


def _table(caption: str, heads: tuple[tuple[str, bool], ...], rows: list[tuple[str, list[Cell]]]) -> str:
    if not rows:
        return "<p class='count'>None.</p>"
    shown = "".join(
        f"<th scope='col'{' class=number' if is_number else ''}><button>{head}</button></th>"
        for head, is_number in heads
    )
    lines: list[str] = []
    for item, cells in rows:
        marked = (
            f"<td{' class=number' if is_number else ''}{_key(key)}>{markup}</td>"
            for (markup, key), (_, is_number) in zip(cells, heads, strict=True)
        )
        lines.append(f"<tr data-item='{_text(item)}'>{''.join(marked)}</tr>")
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{caption}'>"
        f"<table data-sort><thead><tr>{shown}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _key(key: str | None) -> str:
    return f" data-key='{_text(key)}'" if key is not None else ""


def _number(value: int) -> Cell:
    return f"{value:,}", str(value)


def _top(rank: dict[str, Any], anchors: dict[str, str]) -> str:
    items = "".join(
        f"<li><span>{_tag(one['kind'], one['severity'])}</span><span>{_text(one['message'])}"
        f"{_fix(one['fix'])}<br>{_place(one['path'], one['line'], anchors)}</span></li>"
        for one in rank["top"]
    )
    return _section(
        "top",
        "Read first",
        f"<ol class='top'>{items}</ol>" if items else "<p class='count'>Nothing found.</p>",
    )


def _fix(fix: str) -> str:
    return f" <span class='fix'>{_text(fix)}</span>" if fix else ""


def _rules(rank: dict[str, Any]) -> str:
    most = max((one["count"] for one in rank["rules"]), default=1)
    bars = "".join(
        f"<div class='meter' title='{_text(one['summary'])} {_text(one['explanation'])}'>"
        f"<span>{_tag(one['id'], one['severity'])}</span>"
        f"<span>{_text(one['name'])}<i style='width:{100 * one['count'] / most:.1f}%'></i></span>"
        f"<b>{one['count']:,}</b></div>"
        for one in rank["rules"]
    )
    return _section("rules", "Findings by rule", bars or "<p class='count'>No findings.</p>")


def _spread(rank: dict[str, Any]) -> str:
    most = max((one["files"] for one in rank["complexity_spread"]), default=0) or 1
    bars = "".join(
        f"<div class='meter'><span>{_text(one['label'])}</span>"
        f"<span><i style='width:{100 * one['files'] / most:.1f}%'></i></span><b>{one['files']:,}</b></div>"
        for one in rank["complexity_spread"]
    )
    about = "<p class='count'>Files by the cyclomatic complexity of their most complex function.</p>"
    return _section("spread", "Complexity", about + bars)


def _findings(rank: dict[str, Any], anchors: dict[str, str]) -> str:
    rows: list[tuple[str, list[Cell]]] = [
        (
            f"{one['severity']} {one['rule']}",
            [
                (_tag(one["rule"], one["severity"]), None),
                (_place(one["path"], one["line"], anchors), f"{one['path']}:{one['line']:07d}"),
                (f"{_text(one['message'])}{_fix(one['fix'])}", None),
            ],
        )
        for one in rank["findings"]
    ]
    choices = ("error", "warning", "note", *(one["id"] for one in rank["rules"]))
    more = f"{len(rows):,} of {len(rows) + rank['findings_more']:,} listed"
    table = _table("Findings", (("Rule", False), ("Where", False), ("What", False)), rows)
    return _section("findings", "Findings", table, controls=_controls("findings", choices), count=more)


def _functions(rank: dict[str, Any], anchors: dict[str, str]) -> str:
    rows: list[tuple[str, list[Cell]]] = [
        (
            "",
            [
                (f"<code>{_text(one['name'])}</code>", None),
                (_place(one["path"], one["line"], anchors), None),
                _number(one["complexity"]),
                _number(one["nesting"]),
                _number(one["length"]),
            ],
        )
        for one in rank["functions"]
    ]
    heads = (("Function", False), ("Where", False), ("Complexity", True), ("Nesting", True), ("Lines", True))
    table = _table("Functions", heads, rows)
    count = f"the {len(rows)} most complex"
    return _section(
        "functions", "Functions that are hard to follow", table, controls=_controls("functions"), count=count
    )


def _documentation(rank: dict[str, Any], anchors: dict[str, str]) -> str:
    rows: list[tuple[str, list[Cell]]] = [
        (
            "",
            [
                (_place(one["path"], one["first"][0][1], anchors), None),
                _number(one["missing"]),
                _number(one["public"]),
            ],
        )
        for one in rank["undocumented"]
    ]
    table = _table(
        "Files with undocumented API", (("File", False), ("Missing", True), ("Public", True)), rows
    )
    return _section("documentation", "Public API without docstrings", table)


def _imports(rank: dict[str, Any]) -> str:
    found = rank["imports"]
    parts: list[str] = []
    if found["missing"]:
        items = "".join(
            f"<li><code>{_text(one['module'])}</code> is not installed here: "
            f"{_place(one['path'], one['line'], {})}</li>"
            for one in found["missing"]
        )
        parts.append(f"<ul>{items}</ul>")
    cycles = "".join(
        f"<li>{one['size']} modules: <code>{_text(one['chain'])}</code></li>" for one in found["cycles"]
    )
    parts.append(
        f"<p>Modules that import each other when they load:</p><ul>{cycles}</ul>"
        if cycles
        else "<p>No cycles.</p>"
    )
    names = ", ".join(f"<code>{_text(name)}</code> {count}" for name, count in found["most_imported"])
    if names:
        parts.append(f"<p>Imported most within the tree: {names}.</p>")
    others = ", ".join(f"<code>{_text(name)}</code> {count}" for name, count in found["third_party"])
    if others:
        parts.append(f"<p>From outside: {others}.</p>")
    return _section("imports", "Imports", "".join(parts))


def _files(files: list[File], folder: str, anchors: dict[str, str]) -> str:
    rows: list[tuple[str, list[Cell]]] = []
    for file in files[:_MOST_ROWS]:
        name = _text(file["path"].removeprefix(folder))
        anchor = anchors.get(file["path"])
        marked = f"<a href='#{anchor}'>{name}</a>" if anchor else name
        found = len(file["findings"]) + file["findings_more"]
        figures = (
            file["lines"],
            file["functions"],
            file["complexity_max"],
            file["nesting_max"],
            file["undocumented"],
            found,
        )
        rows.append(("", [(f"<span class='path'>{marked}</span>", None), *map(_number, figures)]))
    heads = (
        ("File", False),
        ("Lines", True),
        ("Functions", True),
        ("Complexity", True),
        ("Nesting", True),
        ("No docs", True),
        ("Findings", True),
    )
    count = f"{len(rows):,} of {len(files):,} listed"
    return _section("files", "Files", _table("Files", heads, rows), controls=_controls("files"), count=count)


def _details(files: list[File], total: int, folder: str, anchors: dict[str, str]) -> str:
    parts: list[str] = []
    for file in files:
        lines = [
            f"<li>{_tag(rule, '')} line {line}: {_text(message)}{_fix(fix)}</li>"
            for rule, line, _column, message, fix in file["findings"]
        ]
        if file["findings_more"]:
            lines.append(f"<li>and {file['findings_more']} more</li>")
        lines += [
            f"<li>line {line}: <code>{_text(name)}</code> has complexity {complexity}, nesting {nesting}, "
            f"{length} lines</li>"
            for name, line, complexity, nesting, length in file["worst"]
            if complexity > 10
        ]
        names = ", ".join(f"<code>{_text(name)}</code>" for name, _ in file["undocumented_first"])
        if names:
            more = file["undocumented"] - len(file["undocumented_first"])
            lines.append(f"<li>no docstring: {names}{f' and {more} more' if more else ''}</li>")
        found = len(file["findings"]) + file["findings_more"]
        about = f"{file['lines']:,} lines, {file['functions']} functions, {found} findings"
        parts.append(
            f"<details id='{anchors[file['path']]}' data-item=''><summary><span class='path'>"
            f"{_text(file['path'].removeprefix(folder))}</span><span class='count'>{about}</span></summary>"
            f"<ul>{''.join(lines)}</ul></details>"
        )
    count = f"{len(parts):,} of {total:,} files, those with most to say"
    return _section(
        "details", "File by file", "".join(parts), controls=_controls("file details"), count=count
    )
