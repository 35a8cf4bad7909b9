"""The list of runs as people read it; what a record says is told apart from what is so."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from laneway.cli import _screen as screen

__all__ = ["print_runs", "standing_text"]


def print_runs(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per run, with a column of tags where some have any; below, what to do about runs that nobody drives."""
    now = time.time()
    with_tags = any(_tags(row) for row in rows)
    columns = ["run", "workflow", "status", "began", "took", *(["tags"] if with_tags else []), "error"]
    lines: list[list[str | Text]] = []
    for row in rows:
        tags: list[str | Text] = [_tags(row)] if with_tags else []
        took = screen.seconds(row["ended"] - row["created"]) if row["ended"] else ""
        began = screen.ago(now - row["created"])
        lines.append(
            [row["id"], row["workflow"], standing_text(row, now), began, took, *tags, _error(row["error"])]
        )
    screen.print_table(columns, lines, right=["took"], below=["error", "tags", "took", "began", "status"])
    left = next((row for row in rows if _is_left(row)), None)
    if left is not None:
        screen.say(
            screen.errors(),
            "runs whose program is gone go on with `laneway runs resume RUN`, or by themselves in an engine that was "
            f"given their workflow: Engine(..., workflows=[{left['workflow']}])",
        )


def standing_text(row: Mapping[str, Any], now: float) -> Text:
    """The status, and for a run that is recorded as running whether it is."""
    status = screen.status_text(row["status"])
    if not _is_left(row):
        return status
    if row["standing"] == "free":
        why = "stopped: no program drives it"
    elif row["gone_since"] is None:
        why = "its program is gone"
    else:
        why = f"its program is gone since {screen.ago(now - row['gone_since']).removesuffix(' ago')}"
    return Text.assemble((row["status"], "yellow"), (f" ({why})", "yellow"))


def _is_left(row: Mapping[str, Any]) -> bool:
    standing: str = row["standing"]
    return standing == "gone" or (standing == "free" and row["status"] == "running")


def _tags(row: Mapping[str, Any]) -> str:
    return screen.without_controls(
        " ".join(f"{name}={value}" for name, value in row["tags"].items() if name != "correlation_id")
    )


def _error(error: Mapping[str, Any] | None) -> str:
    if error is None:
        return ""
    text = f"{error.get('task', '')}: {error.get('message', '')}".replace("\n", " ")
    return screen.without_controls(text if len(text) <= 60 else text[:59] + "…")
