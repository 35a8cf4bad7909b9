"""Writes the reports: both files appear whole or not at all."""

import os
import threading
from pathlib import Path
from typing import Any

from source_audit.page import html_report
from source_audit.text import markdown_report

__all__ = ["write_reports"]


def write_reports(out: str, rank: dict[str, Any], files: list[dict[str, Any]]) -> dict[str, Any]:
    """Write `source-audit.html` and `source-audit.md` into `out`, which is made if it is not there."""
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    html = _write(folder / "source-audit.html", html_report(rank, files))
    markdown = _write(folder / "source-audit.md", markdown_report(rank))
    return {"html": html, "markdown": markdown, "totals": rank["totals"], "top": rank["top"]}


def _write(path: Path, text: str) -> str:
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_text(text, encoding="utf-8", errors="replace")
    partial.replace(path)
    return path.as_posix()
