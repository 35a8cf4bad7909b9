"""The benchmark part of the adoption report: what `laneway bench lanes` found out, given as a file or kept before."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from laneway._core.lane_times import LaneTimes, TaskTimes, duration
from laneway.compat._flat import flat
from laneway.compat.measured import MeasuredTimes, file_content

__all__ = ["NOT_MEASURED", "Table", "kept_benchmark", "table_of"]

NOT_MEASURED = (
    "Not measured. `laneway bench lanes TARGET --save` keeps a result that this report then shows; "
    "`laneway bench lanes TARGET --json > lanes.json` writes one for `--benchmark lanes.json`."
)

_LANES = ("loop", "thread", "interpreter", "process")
_MOST_ROWS = 100


class Table(NamedTuple):
    """A table of texts, and what is to be said below it."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: list[str]


def kept_benchmark(
    *, content: str = "", root: Path | None = None, measured: MeasuredTimes | None = None
) -> dict[str, Any] | None:
    """What was kept for a package, or for the source files below a folder as they are now; None if nothing was.

    Args:
        content: a package's key; else what is below `root` counts.
        root: a project's folder.
        measured: where results are kept; by default in this user's cache.
    """
    found = [
        one
        for one in (measured or MeasuredTimes()).all()
        if (one.content == content if content else root is not None and _is_current(one, root))
    ]
    if not found:
        return None
    newest = {(one.place, one.task): one for one in reversed(found)}
    tasks = sorted(newest.values(), key=lambda one: (one.place, one.task))
    return {"format": 1, "kind": "lanes", "target": "kept results", "tasks": [one.as_data() for one in tasks]}


def _is_current(times: TaskTimes, root: Path) -> bool:
    with suppress(OSError):
        place = Path(times.place)
        is_there = place.is_file() and place.resolve().is_relative_to(root.resolve())
        return is_there and times.content.endswith(f" {file_content(times.place)}")
    return False


def table_of(benchmark: Mapping[str, Any]) -> Table:
    """A benchmark as a table; one that is in no form known here, path by path."""
    with suppress(msgspec.ValidationError):
        tasks = msgspec.convert(benchmark.get("tasks"), list[TaskTimes])
        if benchmark.get("kind") == "lanes" and tasks:
            return _of_lanes(tasks)
    return Table(("what", "value"), list(flat(dict(benchmark)))[:_MOST_ROWS], [])


def _of_lanes(tasks: Sequence[TaskTimes]) -> Table:
    names = [name for name in _LANES if any(one.lane(name) is not None for one in tasks)]
    rows = [
        (
            one.task,
            one.unit,
            duration(one.mean_call),
            *(_cell(one.lane(name)) for name in names),
            one.verdict,
        )
        for one in tasks
    ]
    notes = [
        "Speed against calling the task directly, one call after another; in brackets the change in time. Medians of "
        f"{min(one.rounds for one in tasks)} or more rounds that alternate."
    ]
    since = min(one.made for one in tasks)[:10]
    places = dict.fromkeys(f"{one.python} on {one.machine.cpu}, {one.machine.cores} cores" for one in tasks)
    notes += [f"Measured with {place}, {since} or later." for place in places]
    busy = [f"{one.task}: {text}" for one in tasks for text in one.warnings]
    return Table(("task", "of", "one call", *names, "verdict"), rows, [*notes, *busy[:_MOST_ROWS]])


def _cell(lane: LaneTimes | None) -> str:
    if lane is None:
        return ""
    if lane.ratio is None:
        return lane.status
    return f"{lane.speedup:.2f} x ({lane.change_percent:+.0f} %)"
