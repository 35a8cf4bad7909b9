"""Measures a task inline and on every lane: the same calls, in rounds that alternate, outputs compared."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from laneway._core.lane_times import NotMeasured, TaskTimes, duration
from laneway._core.model import TaskSpec
from laneway.assembly import Assembly
from laneway.bench._session import Session, Trial, spread_out
from laneway.bench._variants import CallsFailed, Inline, OnLane
from laneway.bench.machine import load, machine
from laneway.bench.verdict import judged
from laneway.compat.measured import build_label, content_of
from laneway.ports import Lane, StepOrder

__all__ = ["LANES", "Settings", "measure"]

LANES = ("loop", "thread", "interpreter", "process")
"""Lanes that can be compared on one machine."""

_ROUND_SECONDS = 0.2
_MOST_CALLS = 1000
_ALONE_SECONDS = 0.05
_MOST_ALONE = 100
_SLOW_SECONDS = 1.0

_SLOWEST_SHARE = 10
"""A call that takes more than this part of the time leaves no room to compare anything."""

type Say = Callable[[str, int, int], None]
"""Told what is going on, and how many rounds are done and to do."""


class Settings(NamedTuple):
    """How to measure."""

    rounds: int = 20
    calls: int | None = None
    """Calls in a round; by default as many as take a good part of a second inline."""
    seconds: float = 30.0
    """After this time a task gets no further round."""
    lanes: tuple[str, ...] = LANES
    compare: bool = True
    """Whether different outputs are a failure."""


async def measure(
    orders: Sequence[StepOrder],
    lanes: Mapping[str, Lane],
    assembly: Assembly,
    *,
    workers: int,
    settings: Settings,
    say: Say,
) -> TaskTimes | NotMeasured:
    """Measure one task.

    Args:
        orders: what the engine would hand to a lane, one for each different input.
        lanes: open lanes whose workers have not started.
        assembly: knows which lanes cannot run the task.
        workers: workers of the isolated lanes.
        settings: how.
        say: told what is going on.
    """
    spec, unit = orders[0].task, orders[0].unit
    load_before = load()
    began = time.perf_counter()
    inline = Inline(lanes["process"], orders)
    try:
        say("starting a program for inline", 0, settings.rounds)
        start, cost = await _first(inline, len(orders))
        if cost > settings.seconds / _SLOWEST_SHARE:
            return _too_slow(spec, cost)
        calls = settings.calls or _calls(cost, len(orders), workers)
        trials = _trials(orders, lanes, assembly, settings)
        numbers = spread_out(calls, len(orders))
        alone = min(
            calls, max(1 if cost > _ALONE_SECONDS else 3, min(_MOST_ALONE, int(_ALONE_SECONDS / cost)))
        )
        session = Session(inline, trials, numbers, alone, compare=settings.compare)
        await session.warm_up(lambda text: say(text, 0, settings.rounds))
        warm = time.perf_counter() - began
        rounds = await _rounds(session, settings, began, say)
    except CallsFailed as failed:
        return NotMeasured(spec.id, f"called directly it failed: {failed}", "Give a context it works with.")
    times = TaskTimes(
        task=spec.id,
        unit=unit.name or unit.key,
        place=unit.paths[0].removesuffix("/src") if unit.kind == "package" else spec.file,
        content=content_of(spec, unit),
        doc=next(iter(spec.doc.strip().splitlines()), ""),
        is_async=spec.is_async,
        asked_lane=spec.lane,
        cpu=spec.cpu,
        calls=calls,
        inputs=min(len(orders), calls),
        rounds=rounds,
        warm_up_seconds=warm,
        workers=workers,
        inline=session.inline_times(start),
        lanes=session.lane_times(),
        python=build_label(),
        machine=machine(load_before),
        made=datetime.now(tz=UTC).isoformat(timespec="seconds"),
    )
    return judged(
        times, spec, unit, assembly, settings.rounds, is_steady=session.is_steady, compare=settings.compare
    )


async def _first(inline: Inline, inputs: int) -> tuple[float, float]:
    """Seconds until inline's first call was done, and of one call on average, its JSON included, once it is warm."""
    begun = time.perf_counter()
    first = await inline.run([inputs // 2])
    start = time.perf_counter() - begun
    if first.seconds > _SLOW_SECONDS:
        return start, first.seconds
    some = max(1, min(inputs, 20, int(_ROUND_SECONDS / max(first.seconds, 1e-6))))
    begun = time.perf_counter()
    await inline.run(spread_out(some, inputs))
    return start, (time.perf_counter() - begun) / some


def _too_slow(spec: TaskSpec, cost: float) -> NotMeasured:
    enough = math.ceil(cost * _SLOWEST_SHARE * 4 / 10) * 10
    return NotMeasured(
        spec.id,
        f"one call takes {duration(cost)}, and comparing needs many",
        f"Give a smaller input, or --seconds {enough}.",
    )


def _calls(cost: float, inputs: int, workers: int) -> int:
    """How many calls make a round: a good part of a second, a multiple of the inputs if that is not too long."""
    if cost > _SLOW_SECONDS:
        return workers
    wanted = min(math.ceil(_ROUND_SECONDS / cost), _MOST_CALLS)
    if inputs <= wanted or (inputs > 1 and inputs * cost < 3 * _ROUND_SECONDS):
        return max(1, wanted // inputs) * inputs if inputs >= 2 * workers else _even(wanted, workers)
    return _even(wanted, workers)


def _even(calls: int, workers: int) -> int:
    """A multiple of the workers, two for each at least, so that none is idle at a round's end."""
    return max(2, math.ceil(calls / workers)) * workers


def _trials(
    orders: Sequence[StepOrder], lanes: Mapping[str, Lane], assembly: Assembly, settings: Settings
) -> dict[str, Trial]:
    spec, unit = orders[0].task, orders[0].unit
    refusals = assembly.refusals(spec._replace(lane="interpreter"), unit)
    if reason := str(getattr(lanes.get("interpreter"), "runs_on_processes", "")):
        refusals["interpreter"] = f"it would run on processes: {reason}"
    trials: dict[str, Trial] = {}
    for name in LANES:
        if name in settings.lanes and name in lanes and (name != "loop" or spec.is_async):
            trial = trials[name] = Trial(OnLane(lanes[name], orders))
            if name in refusals:
                trial.refuse(refusals[name])
    return trials


async def _rounds(session: Session, settings: Settings, began: float, say: Say) -> int:
    """Rounds until there are enough, or the next would take too long."""
    for done in range(settings.rounds):
        begun = time.perf_counter()
        say("measuring", done, settings.rounds)
        await session.round(done)
        now = time.perf_counter()
        if now - began + (now - begun) > settings.seconds:
            return done + 1
    return settings.rounds
