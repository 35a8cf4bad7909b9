"""What the demo is made of: where its examples are, and a fair measure of one interpreter alone."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import laneway
from laneway._core.errors import LanewayError
from laneway.cli._children import asked
from laneway.engine.results import RunResult

__all__ = ["Comparison", "ExampleMissing", "compared", "example", "seconds_by_lane", "writable_copy"]

_INLINE_SECONDS = 2.0
_FEWEST_FILES = 20

_INLINE = """
import json, sys, time
folder, limit = sys.argv[1], float(sys.argv[2])
sys.path.insert(0, folder)
from source_audit.measure import measure_file
paths = json.load(sys.stdin)
measure_file(paths[0])
began = time.perf_counter()
count = size = 0
for path in paths:
    size += measure_file(path)["bytes"]
    count += 1
    if time.perf_counter() - began > limit:
        break
print(json.dumps({"files": count, "bytes": size, "seconds": time.perf_counter() - began}))
"""


class ExampleMissing(LanewayError):
    """The examples that the demo runs are not there."""

    code = "LW-CLI-001"
    template = "the example {name!r} is not at {places}. Reinstall Laneway, or run the demo from a checkout."


class Comparison(NamedTuple):
    """The same analysis on the interpreter lane and in one plain interpreter. Sizes in bytes, times in seconds."""

    lane_files: int
    lane_bytes: int
    lane_seconds: float
    inline_files: int
    inline_bytes: int
    inline_seconds: float

    @property
    def speedup(self) -> float:
        """How much more source the lane gets through per second."""
        return (self.lane_bytes / self.lane_seconds) / (self.inline_bytes / self.inline_seconds)


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
    """Run the same analysis on a sample of the same files in one plain interpreter, and compare by bytes of source.

    The lane's time is wall time from when the list of files was there, starting workers included. None if too few
    files were analysed since this program began.

    Args:
        package: the source-audit package's folder.
        result: the run.
        since: when this program took the run up, seconds since the epoch.
    """
    paths: Sequence[str] = result.context["list_files"]
    files: Sequence[Mapping[str, Any] | None] = result.context["analyse"]
    mine = [
        (step.key, step.attempts[-1])
        for step in result.steps
        if step.task == "analyse"
        and step.key is not None
        and step.attempts
        and step.attempts[-1].started >= since
    ]
    listed = [one.ended for step in result.steps if step.task == "list_files" for one in step.attempts]
    if len(mine) < _FEWEST_FILES:
        return None
    began = max(since, *listed) if listed else since
    size = sum(int((files[key] or {}).get("bytes", 0)) for key, _ in mine)
    measured = await _inline(package, _spread([paths[key] for key, _ in mine]))
    return Comparison(
        len(mine),
        size,
        max(attempt.ended for _, attempt in mine) - began,
        measured["files"],
        measured["bytes"],
        measured["seconds"],
    )


def _spread(paths: Sequence[str]) -> list[str]:
    """The same paths in an order whose every beginning is spread evenly over the whole list."""
    return [
        path
        for _, path in sorted(
            ((number * 0.6180339887498949) % 1.0, path) for number, path in enumerate(paths)
        )
    ]


async def _inline(package: Path, paths: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", _INLINE, str(package / "src"), str(_INLINE_SECONDS)]
    status, answer = await asked(command, msgspec.json.encode(paths))
    if status != 0:
        raise ExampleMissing(name="source-audit", places=str(package))
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found
