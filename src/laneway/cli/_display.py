"""How a run shows itself while it goes on: a live display on a terminal, plain lines in a pipe, nothing if quiet."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from laneway._core.events import EventRow
from laneway.cli._progress import Progress, TaskProgress
from laneway.cli._screen import clock, counted, errors, is_live, say, seconds, without_controls
from laneway.ports import Lane

__all__ = ["Display", "LiveDisplay", "PlainDisplay", "display_for", "show_cursor"]

_BAR_FROM = 72
"""Columns from which on there is room for a bar."""
_LINE_SECONDS = 5.0


class Display(Protocol):
    """Shows one run. `update` is called several times a second and once more at the end."""

    def start(self, progress: Progress, title: str) -> None:
        """Begin to show."""
        ...

    def seen(self, rows: Sequence[EventRow]) -> None:
        """Events that were committed; the progress has counted them already."""
        ...

    def update(self) -> None:
        """Show how it stands now."""
        ...

    def note(self, text: str) -> None:
        """Say something above the display."""
        ...

    def stop(self) -> None:
        """Leave the terminal as it was, with the last state on it. Idempotent."""
        ...


def display_for(lanes: Mapping[str, Lane]) -> Display:
    """The display that fits where the output goes."""
    return LiveDisplay(lanes) if is_live() else PlainDisplay(errors())


def show_cursor() -> None:
    """Make the cursor visible again, from wherever the program is; safe in a signal handler."""
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\r\n")


class LiveDisplay:
    """Redraws a few lines in place: one per task, then the whole, then the lanes."""

    def __init__(self, lanes: Mapping[str, Lane], console: Console | None = None) -> None:
        self._lanes = lanes
        self._console = console or errors()
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._title = ""
        self._began = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")

    def start(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._began = time.monotonic()
        self._live = Live(
            console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop"
        )
        self._live.start()

    def seen(self, rows: Sequence[EventRow]) -> None:
        progress = self._progress
        if progress is None:
            return
        for row in rows:
            if row.kind == "step_failed" and row.task is not None and progress.failed <= 3:
                self.note(f"{_step(row)} failed: {_message(row)}")

    def update(self) -> None:
        if self._live is not None and self._progress is not None:
            self._live.update(self._view(self._progress), refresh=True)

    def note(self, text: str) -> None:
        say(self._console, Text(without_controls(text)))

    def stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            if self._progress is not None:
                live.update(self._view(self._progress), refresh=True)
            live.stop()

    def _view(self, progress: Progress) -> RenderableType:
        width = self._console.width
        room = max(3, self._console.height - 6)
        elapsed = clock(time.monotonic() - self._began)
        head = Text.assemble((self._title, "bold"), "  ", (elapsed, "bright_black"))
        head.truncate(width, overflow="ellipsis")
        tasks = list(progress.tasks.values())
        running = set(progress.running)
        shown = tasks if len(tasks) <= room else _chosen(tasks, running, room - 1)
        grid = Table.grid(padding=(0, 1), expand=False)
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(12, width // 3))
        grid.add_column(no_wrap=True, style="bright_black")
        if width >= _BAR_FROM:
            grid.add_column(width=max(8, min(30, width - 60)))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for one in shown:
            cells: list[RenderableType] = [self._sign(one, running), one.name, one.lane]
            if width >= _BAR_FROM:
                cells.append(_bar(one))
            cells += [f"{one.done}/{'?' if one.total is None else one.total}", _beside(one, running)]
            grid.add_row(*cells)
        lines: list[RenderableType] = [head, grid]
        if len(shown) < len(tasks):
            lines.append(Text(f"  and {len(tasks) - len(shown)} more tasks", style="bright_black"))
        lines += [_cut(self._whole(progress), width), _cut(self._places(), width)]
        return Group(*lines)

    def _sign(self, one: TaskProgress, running: set[str]) -> RenderableType:
        if one.failed:
            return Text("✗", style="red")
        if one.is_over:
            return Text("–", style="bright_black") if one.skipped else Text("✓", style="green")
        if one.name in running or one.done:
            return self._spinner
        return Text("·", style="bright_black")

    def _whole(self, progress: Progress) -> Text:
        total = f"{progress.total}" if progress.is_total_known else f"{progress.total}+"
        parts = [f"{progress.done}/{total} steps"]
        if rate := progress.rate():
            parts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        left = progress.left()
        if left is not None and progress.done < progress.total:
            parts.append(f"{clock(left + 0.5)} left")
        if progress.kept:
            parts.append(f"{progress.kept} kept")
        parts.append(f"{progress.retries} retries")
        line = Text("  " + " · ".join(parts) + " · ")
        return line.append(f"{progress.failed} failed", style="red" if progress.failed else "")

    def _places(self) -> Text:
        """Lanes in use with their workers."""
        line = Text("  lanes  ", style="bright_black")
        used: list[Text] = []
        for name, lane in self._lanes.items():
            health = lane.health()
            busy = sum(1 for one in health.workers if one.get("state") == "running")
            if not health.workers and not health.running:
                continue
            words = f"{name} {busy or health.running} busy"
            if health.workers:
                words += f" of {len(health.workers)} worker{'s' if len(health.workers) != 1 else ''}"
            if health.restarts:
                words += f", {health.restarts} restarted"
            used.append(Text(words, style="cyan" if busy or health.running else "bright_black"))
        return line + (
            Text(" · ", style="bright_black").join(used)
            if used
            else Text("none in use", style="bright_black")
        )


class PlainDisplay:
    """One line per task that ends, one every few seconds for long ones; for pipes and logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._told = time.monotonic()
        self._failures = 0

    def start(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._say(title)

    @staticmethod
    def _done(one: TaskProgress) -> str:
        count = f" ({counted(one.done, 'step')})" if one.is_mapped else ""
        outcome = "failed" if one.failed else "skipped" if one.skipped else "done"
        return f"{one.name} {outcome}{count} on the {one.lane} lane"

    def seen(self, rows: Sequence[EventRow]) -> None:
        progress = self._progress
        if progress is None:
            return
        for row in rows:
            if row.task is None or row.task not in progress.tasks:
                continue
            one = progress.tasks[row.task]
            if row.kind == "step_failed" and (row.item >= 0 or not one.is_mapped):
                self._failures += 1
                if self._failures <= 20:
                    self._say(f"{_step(row)} failed: {_message(row)}")
            elif row.kind == "step_retrying" and one.retries <= 20:
                self._say(f"{_step(row)} will be tried again: {_message(row)}")
            elif row.kind == "step_succeeded" and one.is_over and row.item < 0:
                self._say(self._done(one))

    def update(self) -> None:
        progress = self._progress
        now = time.monotonic()
        if progress is None or now - self._told < _LINE_SECONDS:
            return
        left = progress.left()
        total = f"{progress.total}" if progress.is_total_known else f"{progress.total}+"
        more = f", {clock(left + 0.5)} left" if left is not None else ""
        self._say(f"{progress.done}/{total} steps, {progress.rate():.0f}/s{more}, {progress.failed} failed")

    def note(self, text: str) -> None:
        self._say(text)

    def stop(self) -> None:
        self._progress = None

    def _say(self, text: str) -> None:
        self._told = time.monotonic()
        self._console.print(without_controls(text), soft_wrap=True)


def _chosen(tasks: list[TaskProgress], running: set[str], room: int) -> list[TaskProgress]:
    """The tasks worth a line when there is not room for all, in their order."""

    def rank(one: TaskProgress) -> int:
        return (
            0
            if one.name in running or one.failed
            else 1
            if one.done and not one.is_over
            else 2
            if not one.is_over
            else 3
        )

    wanted = {id(one) for one in sorted(tasks, key=rank)[:room]}
    return [one for one in tasks if id(one) in wanted]


def _bar(one: TaskProgress) -> RenderableType:
    return ProgressBar(total=one.total or 1, completed=one.done, width=None)


def _beside(one: TaskProgress, running: set[str]) -> Text:
    if one.is_over:
        took = f"{seconds(one.ended - one.started)}" if one.started and one.ended >= one.started else ""
        return Text("skipped" if one.skipped and not one.succeeded else took, style="bright_black")
    if one.total:
        return Text(f"{100 * one.done // one.total} %")
    return Text("running" if one.name in running else "", style="bright_black")


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line


def _step(row: EventRow) -> str:
    return f"{row.task}[{row.item}]" if row.item >= 0 else str(row.task)


def _message(row: EventRow) -> str:
    data = row.data or b""
    found = _ERROR.decode(data) if data else None
    if found is None or found.error is None:
        return "no reason given"
    text = f"{found.error.type}: {found.error.message}" if found.error.type else found.error.message
    return text if len(text) <= 300 else text[:300] + "…"


class _Error(msgspec.Struct):
    type: str | None = None
    message: str = ""


class _Data(msgspec.Struct):
    error: _Error | None = None


_ERROR = msgspec.json.Decoder(_Data)
