"""The demo's second act: two packages with two versions of one library, side by side in one process."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from laneway import aio
from laneway.app import Engine
from laneway.cli._children import asked
from laneway.targets import find_target

__all__ = ["Isolation", "NotVendored", "Side", "side_by_side", "vendor"]

_PACKAGES = ("sizes_old", "sizes_new")


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
    lane: str


class Isolation(NamedTuple):
    """Both sides, with what the program around them has of the library."""

    sides: list[Side]
    is_in_host: bool
    """Whether the library got loaded into this process; it must not."""
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
    """Run both packages' workflows at the same time in one engine.

    Raises:
        RunFailed: one of them failed.
    """
    async with Engine("memory://", workers=1, grace=0.1) as engine:
        targets = [await find_target(str(folder / name), engine.fleet) for name in _PACKAGES]
        handles = [await engine.start(target) for target in targets]
        async with aio.TaskGroup() as group:
            waiting = [
                group.create_task(handle.result(check=False), name=f"result {handle.id}")
                for handle in handles
            ]
        results = [one.result().checked() for one in waiting]
        workers = {
            one["unit"]: one for lane in ("interpreter", "process") for one in engine.fleet.describe(lane)
        }
        sides = []
        for target, result in zip(targets, results, strict=True):
            seen = result.context["identify"]
            said = {key: value for key, value in result.context["describe"].items() if key != "version"}
            unit = target.unit.name if target.unit is not None else ""
            pid = int(workers.get(unit, {}).get("pid", 0))
            lane = next(step.lane for step in result.steps if step.lane)
            sides.append(Side(unit, seen["library"], seen["version"], seen["file"], said, pid, lane))
        times = [[one for step in result.steps for one in step.attempts] for result in results]
        spans = [(min(one.started for one in some), max(one.ended for one in some)) for some in times]
    at_once = max(begin for begin, _ in spans) <= min(end for _, end in spans)
    return Isolation(sides, sides[0].library in sys.modules, at_once)
