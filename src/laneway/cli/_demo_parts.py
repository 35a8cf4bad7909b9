"""What the demo is made of: where its examples are, and a fair measure of one interpreter alone."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

import laneway
from laneway._core.errors import LanewayError
from laneway.cli._children import asked
from laneway.engine.results import RunResult

__all__ = ["Comparison", "ExampleMissing", "compared", "example", "seconds_by_lane", "writable_copy"]

_INLINE_SECONDS = 2.0
_FEWEST_FILES = 200

_INLINE = """
import json, sys, time
folder, limit = sys.argv[1], float(sys.argv[2])
sys.path.insert(0, folder)
from source_audit.measure import measure_file
paths = json.load(sys.stdin)
measure_file(paths[0])
began = time.perf_counter()
count = 0
for path in paths:
    measure_file(path)
    count += 1
    if time.perf_counter() - began > limit:
        break
print(json.dumps([count, time.perf_counter() - began]))
"""


class ExampleMissing(LanewayError):
    """The examples that the demo runs are not there."""

    code = "LW-CLI-001"
    template = "the example {name!r} is not at {places}. Reinstall Laneway, or run the demo from a checkout."


class Comparison(NamedTuple):
    """The same analysis on the interpreter lane and in one plain interpreter; times in seconds."""

    files: int
    lane_seconds: float
    """Wall time for all files on the lane, starting its workers included."""
    sample_files: int
    sample_seconds: float
    """Wall time for the sample in one plain interpreter."""
    inline_seconds: float
    """What one interpreter needs for all files: the sample's time, in the proportion of the work on the lane."""
    load: float
    """The machine's load average when the lane was done."""

    @property
    def speedup(self) -> float:
        """How many times faster the lane is."""
        return self.inline_seconds / self.lane_seconds


def example(name: str) -> Path:
    """The folder of an example: in the installed package, else in the checkout around it.

    Raises:
        ExampleMissing: in neither.
    """
    home = Path(laneway.__file__).resolve().parent
    places = [home / "_examples" / name, home.parents[1] / "examples" / name]
    for place in places:
        if place.is_dir():
            return place
    raise ExampleMissing(name=name, places=" or ".join(str(one) for one in places))


def writable_copy(source: Path, state: Path) -> Path:
    """An example that something will be installed into: itself in a checkout, else a copy in the demo's folder."""
    if "_examples" not in source.parts:
        return source
    copy = state / source.name
    shutil.copytree(source, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def seconds_by_lane(result: RunResult) -> dict[str, tuple[int, float]]:
    """Per lane how many attempts ran there and how long their code took, all together."""
    found: dict[str, tuple[int, float]] = {}
    for step in result.steps:
        for attempt in step.attempts:
            if attempt.lane:
                count, total = found.get(attempt.lane, (0, 0.0))
                found[attempt.lane] = (count + 1, total + attempt.ended - attempt.started)
    return found


async def compared(package: Path, result: RunResult, *, since: float) -> Comparison | None:
    """Run the same analysis on a sample of the same files in one plain interpreter, and compare.

    Only files that were analysed since this program began count. None if they are too few.

    Args:
        package: the source-audit package's folder.
        result: the run.
        since: when this program took the run up, seconds since the epoch.
    """
    paths: Sequence[str] = result.context["list_files"]
    mine = {
        paths[step.key]: step.attempts[-1]
        for step in result.steps
        if step.task == "analyse"
        and step.key is not None
        and step.attempts
        and step.attempts[-1].started >= since
    }
    if len(mine) < _FEWEST_FILES:
        return None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    listed = [one.ended for step in result.steps if step.task == "list_files" for one in step.attempts]
    began = max(since, *listed) if listed else since
    order = _spread(list(mine))
    count, spent = await _inline(package, order)
    work = {path: attempt.ended - attempt.started for path, attempt in mine.items()}
    share = sum(work[path] for path in order[:count]) / sum(work.values())
    lane_seconds = max(attempt.ended for attempt in mine.values()) - began
    return Comparison(len(mine), lane_seconds, count, spent, spent / share, load)


def _spread(paths: Sequence[str]) -> list[str]:
    """The same paths in an order whose every beginning is spread evenly over the whole list."""
    return [
        path
        for _, path in sorted(
            ((number * 0.6180339887498949) % 1.0, path) for number, path in enumerate(paths)
        )
    ]


async def _inline(package: Path, paths: Sequence[str]) -> tuple[int, float]:
    """How many of the files, from the first on, one interpreter got through, and in how many seconds."""
    command = [sys.executable, "-c", _INLINE, str(package / "src"), str(_INLINE_SECONDS)]
    status, answer = await asked(command, msgspec.json.encode(paths))
    if status != 0:
        raise ExampleMissing(name="source-audit", places=str(package))
    found: tuple[int, float] = msgspec.json.decode(answer, type=tuple[int, float])
    return found
