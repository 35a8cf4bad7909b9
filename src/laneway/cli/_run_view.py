"""One run as people read it: what happened when, on which lane, and what came of it."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.text import Text

from laneway.cli import _screen as screen
from laneway.cli._run_list import standing_text
from laneway.engine.results import RunResult, StepResult

__all__ = ["as_shown", "show_run"]

_TIMELINE_FROM = 90
"""Columns from which on there is room for a timeline."""
_TRACEBACKS = 5


def as_shown(record: Mapping[str, Any], result: RunResult) -> dict[str, Any]:
    """The run as JSON data: the fields of a RunResult, and what the store knows besides."""
    known = ("version", "reference", "key", "engine", "created", "ended", "standing", "gone_since", "tags")
    linked = ("parent", "parent_task", "origin", "priority", "deadline", "due")
    more = {key: record[key] for key in known + linked}
    return {**result.as_json(), **more, "initial": msgspec.json.decode(record["context"])}


def show_run(record: Mapping[str, Any], result: RunResult, *, all_steps: bool) -> None:
    """Print the run."""
    console = screen.output()
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["created"]))
    took = f", took {screen.seconds(record['ended'] - record['created'])}" if record["ended"] else ""
    console.print(
        Text.assemble("run ", (result.id, "bold"), "  ", standing_text(record, time.time())), soft_wrap=True
    )
    for label, text in (
        ("workflow", result.workflow),
        ("from", record["reference"]),
        ("began", began + took),
        ("key", record["key"] or ""),
        ("tags", " ".join(f"{name}={value}" for name, value in record["tags"].items())),
        ("started by", f"run {record['parent']}, task {record['parent_task']}" if record["parent"] else ""),
        ("forked from", f"run {record['origin']}" if record["origin"] else ""),
    ):
        if text:
            console.print(Text.assemble((f"{label:12}", "bright_black"), text), soft_wrap=True)
    console.print()
    _show_steps(record, result.steps, all_steps=all_steps)
    _show_failures(result.steps)
    _show_context("context before", msgspec.json.decode(record["context"]))
    if record["final"] is not None:
        _show_context("context after", result.context)


class _Line:
    """One line of the table: a step, or all items of a mapped task."""

    def __init__(self, name: str, steps: list[StepResult]) -> None:
        self.name = name
        self.steps = steps
        attempts = [one for step in steps for one in step.attempts]
        self.began = min((one.started for one in attempts), default=0.0)
        self.ended = max((one.ended for one in attempts), default=0.0)
        self.attempts = len(attempts)
        self.work = sum(one.ended - one.started for one in attempts)
        self.lanes = list(dict.fromkeys(one.lane for one in attempts if one.lane))
        self.stopped_by = next((step.stopped_by for step in steps if step.stopped_by), "")

    def status(self) -> Text:
        counts: dict[str, int] = {}
        for step in self.steps:
            counts[step.status] = counts.get(step.status, 0) + 1
        if len(self.steps) == 1:
            return screen.status_text(self.steps[0].status)
        return Text(", ").join(
            Text.assemble(f"{count} ", screen.status_text(status)) for status, count in sorted(counts.items())
        )


def _lines(steps: list[StepResult], *, all_steps: bool) -> list[_Line]:
    """Steps in the order they began; the items of a mapped task together unless all are asked for."""
    groups: dict[str, list[StepResult]] = {}
    mapped = {step.task for step in steps if step.key is not None}
    for step in steps:
        if step.task in mapped and step.key is None and not step.error:
            continue  # a mapped task's own row says only that its items are over
        name = (
            step.task if step.key is None else f"{step.task}[{step.key}]" if all_steps else f"{step.task}[]"
        )
        groups.setdefault(name, []).append(step)
    lines = [
        _Line(f"{name[:-2]} × {len(found)}" if name.endswith("[]") else name, found)
        for name, found in groups.items()
    ]
    return sorted(lines, key=lambda line: line.began or float("inf"))


def _show_steps(record: Mapping[str, Any], steps: list[StepResult], *, all_steps: bool) -> None:
    lines = _lines(steps, all_steps=all_steps)
    if not lines:
        screen.output().print("no step has ended yet")
        return
    console = screen.output()
    has_timeline = console.is_terminal and console.width >= _TIMELINE_FROM
    first = min((line.began for line in lines if line.began), default=record["created"])
    span = max(max(line.ended for line in lines) - first, 1e-9)
    columns = ["step", "status", "lane", "attempts", "began", "took", "work"] + (
        ["timeline"] if has_timeline else []
    )
    rows: list[list[str | Text]] = []
    for line in lines:
        row: list[str | Text] = [
            line.name,
            line.status() + (f" ({line.stopped_by})" if line.stopped_by else ""),
            ", ".join(line.lanes),
            str(line.attempts),
            f"+{screen.seconds(max(0.0, line.began - first))}" if line.began else "",
            screen.seconds(line.ended - line.began) if line.began else "",
            screen.seconds(line.work) if line.began else "",
        ]
        if has_timeline:
            row.append(_bar(line, first, span, max(10, console.width - 80)))
        rows.append(row)
    screen.print_table(
        columns,
        rows,
        right=["attempts", "began", "took", "work"],
        below=["work", "took", "began", "attempts", "lane"],
    )


def _bar(line: _Line, first: float, span: float, width: int) -> Text:
    if not line.began:
        return Text("")
    begin = round((line.began - first) / span * (width - 1))
    length = max(1, round((line.ended - line.began) / span * width))
    return Text(" " * begin + "━" * min(length, width - begin), style="cyan")


def _show_failures(steps: list[StepResult]) -> None:
    console = screen.output()
    failed = [step for step in steps if step.status == "failed" and step.error is not None]
    for step in failed[:_TRACEBACKS]:
        error: dict[str, Any] = step.error or {}
        name = step.task if step.key is None else f"{step.task}[{step.key}]"
        console.print()
        console.print(
            Text.assemble((name, "bold red"), f" failed ({error.get('kind', 'other')})"), soft_wrap=True
        )
        text = error.get("traceback") or f"{error.get('type', '')}: {error.get('message', '')}"
        console.print(Text(screen.without_controls(str(text).rstrip())), soft_wrap=True)
        for attempt in step.attempts[:-1]:
            earlier: dict[str, Any] = attempt.error or {}
            said = f"{earlier.get('type', '')}: {earlier.get('message', '')}" if earlier else attempt.status
            console.print(
                Text(f"  attempt {attempt.number} before: {screen.without_controls(said)}"), soft_wrap=True
            )
    if len(failed) > _TRACEBACKS:
        console.print(
            f"\nand {len(failed) - _TRACEBACKS} more failed steps; --steps lists them, --json has everything"
        )


def _show_context(title: str, context: Mapping[str, Any]) -> None:
    console = screen.output()
    console.print()
    console.print(Text(title, style="bold"))
    if not context:
        console.print("  empty")
    for key, value in context.items():
        text = screen.without_controls(msgspec.json.encode(value).decode())
        limit = 2 * console.width if console.is_terminal else 2000
        if len(text) > limit:
            text = f"{text[: limit - 30]} … {len(text)} characters"
        console.print(Text.assemble((f"  {key}", "cyan"), " = ", text), soft_wrap=True)
