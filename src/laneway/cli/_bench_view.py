"""A benchmark's result on the terminal: a chart, a table, the verdict."""

import codecs
import sys
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from laneway._core.lane_times import LaneTimes, NotMeasured, Spread, TaskTimes, duration, objection
from laneway.cli import _screen as screen

__all__ = ["show_kept", "show_result"]

_BAR = 30
_FULL, _RANGE = "█", "▒"
_PLAIN_FULL, _PLAIN_RANGE = "#", "-"
_STYLES = {
    "inline": "bright_black",
    "loop": "blue",
    "thread": "blue",
    "interpreter": "green",
    "process": "cyan",
}


def _use_plain_letters() -> None:
    """Where the terminal's letters are few, write `us` for µs rather than fail or leave the unit out."""

    def plain(error: Any) -> tuple[str, int]:
        return "".join("u" if one == "µ" else "?" for one in error.object[error.start : error.end]), error.end

    stream: Any = sys.stdout
    encoding = str(getattr(stream, "encoding", None) or "")
    if not encoding.lower().startswith("utf") and hasattr(stream, "reconfigure"):
        codecs.register_error("laneway.plain", plain)
        stream.reconfigure(errors="laneway.plain")


def show_result(tasks: Sequence[TaskTimes], missing: Sequence[NotMeasured], *, was_saved: bool) -> None:
    """Every task, then those that were not measured, then what may be done next."""
    _use_plain_letters()
    console = screen.output()
    common = (
        [text for text in tasks[0].warnings if all(text in one.warnings for one in tasks)] if tasks else []
    )
    for one in tasks:
        _show(one, common)
        console.print()
    if tasks:
        _show_machine(tasks, common)
    if missing:
        if tasks:
            console.print()
        console.print(Text("not measured", style="bold"))
        for left in missing:
            text = f"  {left.task}: {left.reason}. {left.advice}"
            screen.say(console, Text(screen.without_controls(text.rstrip()), style="yellow"))
    if tasks and not was_saved:
        screen.say(
            screen.errors(), 'Not kept. With --save lane="auto" and `laneway compat --report` use the result.'
        )
    elif was_saved:
        screen.say(screen.errors(), 'Kept: lane="auto" and `laneway compat --report` use it on this machine.')


def _show(times: TaskTimes, common: Sequence[str]) -> None:
    console = screen.output()
    kind = "async task" if times.is_async else "task"
    inputs = f", {times.inputs} different inputs" if times.inputs > 1 else ""
    head = (
        f"  {screen.counted(times.calls, 'call')} of about {duration(times.mean_call)}, computing "
        f"{times.inline.cpu_share:.0%} of that{inputs}; "
        f"{screen.counted(times.rounds, 'round')} after {screen.seconds(times.warm_up_seconds)} of warm-up"
    )
    title = Text.assemble((screen.without_controls(times.task), "bold cyan"), f"  {kind} of {times.unit}")
    console.print(title, soft_wrap=True)
    screen.say(console, Text(head, style="bright_black"))
    console.print()
    _chart(times)
    console.print()
    measured = [one for one in times.lanes if one.ratio is not None]
    if measured:
        screen.print_table(
            ["  lane", "speed-up", "change", "range", "one call", "hand-over", "start"],
            [
                [
                    "  inline",
                    "",
                    "",
                    "",
                    duration(times.inline.one_call.median),
                    "",
                    duration(times.inline.start),
                ],
                *(_row(one) for one in measured),
            ],
            right=["speed-up", "change", "one call", "hand-over", "start"],
        )
    for one in times.lanes:
        if one.status != "measured":
            style = "yellow" if one.status == "refused" else "bold red"
            what = {"refused": "cannot run it", "failed": "failed", "differs": "gave another result"}[
                one.status
            ]
            text = f"  {one.lane} {what}: {screen.without_controls(one.reason)}"
            screen.say(console, Text(text, style=style))
    console.print()
    style = "bold red" if times.is_failure else "green" if "passes" in times.verdict else "yellow"
    screen.say(console, Text.assemble("  verdict  ", (screen.without_controls(times.verdict), style)))
    if not times.is_failure:
        because = times.chosen_because
        if (against := objection(times, "interpreter")) is not None:
            because = because.replace(against, "as above")
        auto = f"{times.chosen}: {because}"
        screen.say(console, Text.assemble("  auto     ", screen.without_controls(auto)))
    for warning in times.warnings:
        if warning not in common:
            screen.say(console, Text.assemble("  note     ", (warning, "yellow")))


def _show_machine(tasks: Sequence[TaskTimes], common: Sequence[str]) -> None:
    """What holds for all tasks."""
    console = screen.output()
    here, last = tasks[0].machine, tasks[-1].machine
    where = (
        f"{here.cpu}, {screen.counted(here.cores, 'core')}, load {here.load_before:g} before and "
        f"{last.load_after:g} after; {tasks[0].python}; {screen.counted(tasks[0].workers, 'worker')}"
    )
    screen.say(console, Text.assemble("machine  ", (where, "bright_black")))
    for warning in common:
        screen.say(console, Text.assemble("note     ", (warning, "yellow")))


def _row(one: LaneTimes) -> list[str | Text]:
    ratio = one.ratio
    if ratio is None or one.one_call is None or one.handover is None:
        return [f"  {one.lane}", "", "", "", "", "", ""]
    low, high = (ratio.low - 1) * 100, (ratio.high - 1) * 100
    return [
        f"  {one.lane}",
        f"{_digits(one.speedup)} x",
        f"{_percent(one.change_percent)} %",
        f"{low:+,.0f} to {high:+,.0f} %" if ratio.low < ratio.high else "",
        duration(one.one_call.median),
        duration(one.handover.median),
        duration(one.start),
    ]


def _digits(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _percent(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < 1000 else f"{value:+,.0f}"


def _chart(times: TaskTimes) -> None:
    """One bar a lane: full up to the low end of the interval, lighter up to its high end."""
    rows: list[tuple[str, Spread]] = [("inline", times.inline.all_calls)]
    rows += [(one.lane, one.all_calls) for one in times.lanes if one.all_calls is not None]
    console = screen.output()
    unicode = (console.encoding or "").lower().startswith("utf")
    full, wide = (_FULL, _RANGE) if unicode else (_PLAIN_FULL, _PLAIN_RANGE)
    most = max(spread.high for _, spread in rows)
    for name, spread in rows:
        end = max(1, round(spread.high / most * _BAR))
        begin = min(end, max(1, round(spread.low / most * _BAR)))
        bar = (full * begin + wide * (end - begin)).ljust(_BAR)
        told = f"{duration(spread.median):>8}"
        if spread.low < spread.high:
            told += f"  ({duration(spread.low)} to {duration(spread.high)})"
        console.print(Text.assemble(f"  {name:12}", (bar, _STYLES.get(name, "")), f" {told}"), soft_wrap=True)


def show_kept(found: Sequence[TaskTimes]) -> None:
    """The results that are kept."""
    _use_plain_letters()
    if not found:
        screen.output().print(
            "nothing is kept for this Python; `laneway bench lanes TARGET --save` keeps results"
        )
        return
    screen.print_table(
        ["task", "of", "measured", "one call", "interpreter", "process", "auto takes"],
        [
            [
                one.task,
                one.unit,
                one.made[:16].replace("T", " "),
                duration(one.mean_call),
                _speed(one.lane("interpreter")),
                _speed(one.lane("process")),
                one.chosen,
            ]
            for one in found
        ],
        right=["one call", "interpreter", "process"],
    )


def _speed(lane: LaneTimes | None) -> str:
    if lane is None:
        return "-"
    return f"{_digits(lane.speedup)} x" if lane.ratio is not None else lane.status
