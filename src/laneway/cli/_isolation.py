"""The demo's second act: two packages with two versions of one library, side by side in one process."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from laneway import aio
from laneway.app import Engine
from laneway.cli._children import asked
from laneway.engine.results import RunResult
from laneway.targets import find_target

__all__ = ["Isolation", "NotVendored", "Side", "side_by_side", "vendor"]

_PACKAGES = ("sizes_old", "sizes_new")
_TIMES = 20


class NotVendored(NamedTuple):
    """The library could not be had; everything else works without it."""

    reason: str
    command: str


class Side(NamedTuple):
    """What one package saw."""

    package: str
    library: str
    version: str
    file: str
    said: dict[str, Any]
    pid: int


class Isolation(NamedTuple):
    """Both sides, with what the program around them has of the library."""

    sides: list[Side]
    times: int
    """How often each ran."""
    is_in_host: bool
    """Whether the library got loaded into this program; it must not."""
    at_once: bool
    """Whether the runs overlapped in time."""


async def vendor(folder: Path) -> NotVendored | None:
    """Fill the packages' `vendor/` from their locks, from the user's cache or the package index."""
    script = folder / "vendor.py"
    status, said = await asked([sys.executable, str(script)])
    if status == 0:
        return None
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    shown = script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script
    return NotVendored("\n".join(lines[-3:]) or f"exit status {status}", f"{sys.executable} {shown}")


async def side_by_side(folder: Path) -> Isolation:
    """Run both packages' workflows many times, all at once, in one engine.

    Raises:
        RunFailed: one of them failed.
    """
    async with Engine("memory://", workers=1, grace=0.1) as engine:
        targets = [await find_target(str(folder / name), engine.fleet) for name in _PACKAGES]
        async with aio.TaskGroup() as group:
            running = [
                [
                    group.create_task(engine.run(target, check=False), name=str(target.reference))
                    for target in targets
                ]
                for _ in range(_TIMES)
            ]
        rounds = [[one.result().checked() for one in some] for some in running]
        workers = {
            one["unit"]: one for lane in ("interpreter", "process") for one in engine.fleet.describe(lane)
        }
    sides: list[Side] = []
    spans: list[tuple[float, float]] = []
    for target, results in zip(targets, zip(*rounds, strict=True), strict=True):
        unit = target.unit.name if target.unit is not None else ""
        sides.append(_side(unit, results, int(workers.get(unit, {}).get("pid", 0))))
        attempts = [one for result in results for step in result.steps for one in step.attempts]
        spans.append((min(one.started for one in attempts), max(one.ended for one in attempts)))
    at_once = max(begin for begin, _ in spans) <= min(end for _, end in spans)
    return Isolation(sides, _TIMES, sides[0].library in sys.modules, at_once)


def _side(unit: str, results: Sequence[RunResult], pid: int) -> Side:
    seen = results[0].context["identify"]
    versions = {result.context["identify"]["version"] for result in results}
    said = {key: value for key, value in results[0].context["describe"].items() if key != "version"}
    return Side(unit, seen["library"], " and ".join(sorted(versions)), seen["file"], said, pid)
