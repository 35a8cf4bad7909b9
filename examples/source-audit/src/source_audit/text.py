"""The Markdown report."""

from typing import Any

__all__ = ["markdown_report"]

_MOST_ROWS = 60


def markdown_report(rank: dict[str, Any]) -> str:
    """The report as Markdown: totals, the top ten, rules, findings, functions, documentation, imports."""
    totals = rank["totals"]
    parts = [
        f"# Source audit of {_safe(rank['root'])}\n",
        f"{totals['files']:,} files, {totals['lines']:,} lines ({totals['code']:,} with code), "
        f"{totals['functions']:,} functions, {totals['classes']:,} classes. "
        f"{totals['error']:,} errors, {totals['warning']:,} warnings, {totals['note']:,} notes.\n",
        "## Ten to read first\n",
        *(
            f"{number}. **{_safe(one['kind'])}** {_place(one)}: {_safe(one['message'])}"
            for number, one in enumerate(rank["top"], 1)
        ),
        "\n## Rules\n",
        _table(
            ["Rule", "Severity", "Findings", "Files", "What"],
            [
                [one["id"], one["severity"], one["count"], one["files"], one["summary"]]
                for one in rank["rules"]
            ],
        ),
        "\n## Findings\n",
        _table(
            ["Rule", "Where", "What", "Fix"],
            [[one["rule"], _place(one), one["message"], one["fix"]] for one in rank["findings"][:_MOST_ROWS]],
        ),
        _more(len(rank["findings"]) + rank["findings_more"] - _MOST_ROWS, "findings"),
        "\n## Functions that are hard to follow\n",
        _table(
            ["Function", "Where", "Complexity", "Nesting", "Lines"],
            [
                [_code(one["name"]), _place(one), one["complexity"], one["nesting"], one["length"]]
                for one in rank["functions"][:25]
            ],
        ),
        "\n## Public API without docstrings\n",
        _table(
            ["File", "Missing", "Public"],
            [[_code(one["path"]), one["missing"], one["public"]] for one in rank["undocumented"]],
        ),
        "\n## Imports\n",
        *(
            f"- {_code(one['module'])} is not installed here ({_place(one)})"
            for one in rank["imports"]["missing"]
        ),
        *(
            f"- {one['size']} modules import each other: {_safe(one['chain'])}"
            for one in rank["imports"]["cycles"]
        ),
        "- imported most: "
        + ", ".join(f"{_code(name)} ({count})" for name, count in rank["imports"]["most_imported"][:10]),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _safe(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("\n", " ")
    for character in "|<>[]*`":
        text = text.replace(character, f"\\{character}")
    return text


def _place(one: dict[str, Any]) -> str:
    return _code(f"{one['path']}:{one['line']}")


def _code(text: str) -> str:
    return f"`{text.replace('`', '?').replace('|', '?')}`"


def _table(head: list[str], rows: list[list[object]]) -> str:
    if not rows:
        return "None."
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [str(cell) if str(cell).startswith("`") else _safe(cell) for cell in row]
        lines.append("| " + " | ".join(cell.replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def _more(count: int, what: str) -> str:
    return f"\nand {count:,} more {what} in the HTML report" if count > 0 else ""
