"""What measured times mean: the rule on the interpreter lane, what `lane="auto"` takes, what to be wary of."""

from collections.abc import Iterator

import msgspec

from laneway._core.lane_times import FEWEST_ROUNDS, SLOWEST, LaneTimes, TaskTimes, duration, objection
from laneway._core.model import TaskSpec
from laneway.assembly import Assembly
from laneway.bench.machine import is_busy
from laneway.ports import Unit

__all__ = ["judged"]

_WIDE = 0.25
_WORTH_IT = 1.2
_COMPUTES = 0.8


def judged(
    times: TaskTimes,
    spec: TaskSpec,
    unit: Unit,
    assembly: Assembly,
    rounds: int,
    *,
    is_steady: bool,
    compare: bool,
) -> TaskTimes:
    """The times with their verdict, the lane that `auto` takes with them, and warnings.

    Args:
        times: what was measured.
        spec: the task.
        unit: its code.
        assembly: knows what else decides about lanes.
        rounds: how many were asked for.
        is_steady: whether inline gave equal results for equal inputs.
        compare: whether different results are a failure.
    """
    bad = [one for one in times.lanes if one.status in ("failed", "differs")]
    changes = compare and not is_steady
    choice = assembly.choice(spec._replace(lane="auto"), unit, times)
    verdict = _verdict(times, bad, changes=changes)
    if not (bad or changes):
        verdict += _hint(times, spec, unit, assembly)
    return msgspec.structs.replace(
        times,
        chosen=choice.lane,
        chosen_because=choice.reason,
        verdict=verdict,
        is_failure=bool(bad) or changes,
        warnings=tuple(_warnings(times, rounds, is_steady=is_steady)),
    )


def _verdict(times: TaskTimes, bad: list[LaneTimes], *, changes: bool) -> str:
    if changes:
        return (
            "failed: its result changes from call to call, inline too, so results cannot be compared; "
            "--any-output measures without comparing"
        )
    if bad:
        one = bad[0]
        what = "gave another result than inline" if one.status == "differs" else "failed"
        return f"failed: the {one.lane} lane {what}: {one.reason}"
    lane = times.lane("interpreter")
    if lane is None:
        return "the interpreter lane was not asked for"
    if lane.status == "refused":
        return f"the interpreter lane cannot run it: {lane.reason}"
    against = objection(times, "interpreter")
    if against is not None:
        return f"not for the interpreter lane: {against}"
    return f"the interpreter lane passes: {_compared(lane)}; up to 15 % slower is allowed"


def _compared(lane: LaneTimes) -> str:
    if lane.ratio is None:
        return ""
    if lane.ratio.median > 1:
        return f"{lane.change_percent:.1f} % slower than inline"
    return f"{lane.speedup:.2f} times as fast as inline"


def _hint(times: TaskTimes, spec: TaskSpec, unit: Unit, assembly: Assembly) -> str:
    """What marking the task would bring."""
    if spec.cpu or spec.is_async or times.inline.cpu_share < _COMPUTES:
        return ""
    marked = assembly.choice(spec._replace(lane="auto", cpu=True), unit, times)
    lane = times.lane(marked.lane)
    if lane is None or lane.speedup < _WORTH_IT or marked.lane == "thread":
        return ""
    return f'. It computes: with @task(cpu=True), lane="auto" takes the {marked.lane} lane'


def _warnings(times: TaskTimes, rounds: int, *, is_steady: bool) -> Iterator[str]:
    if times.rounds < rounds:
        yield f"only {times.rounds} of {rounds} rounds fitted into the time; --seconds gives more"
    if times.rounds < FEWEST_ROUNDS:
        yield f"fewer than {FEWEST_ROUNDS} rounds: the ranges are those seen, not 95 % intervals"
    if is_busy(times.machine):
        yield (
            "other programs used the machine (see the load): times are high, and speed-ups may be too small or too "
            "large; measure again when it is quiet"
        )
    if not is_steady:
        yield "its result changes from call to call, inline too"
    interpreter = times.lane("interpreter")
    ratio = interpreter.ratio if interpreter is not None else None
    if ratio is not None and ratio.low <= SLOWEST < ratio.high:
        yield (
            f"it is not certain on which side of 15 % the interpreter lane is ({ratio.low:.2f} to "
            f"{ratio.high:.2f} times inline); --rounds gives more"
        )
    wide = [
        one.lane
        for one in times.lanes
        if one.ratio and one.ratio.high - one.ratio.low > _WIDE * one.ratio.median
    ]
    if wide:
        yield f"times vary widely from round to round: {', '.join(wide)}"
    for lane in times.lanes:
        if (
            lane.lane in ("interpreter", "process")
            and _is_slower_alone(lane)
            and lane.one_ratio
            and lane.one_call
        ):
            yield (
                f"one call alone takes {lane.one_ratio.median:.2f} times as long on the {lane.lane} lane as inline "
                f"({duration(lane.one_call.median)}); the gain is in running several at once"
            )


def _is_slower_alone(lane: LaneTimes) -> bool:
    return (
        lane.ratio is not None
        and lane.one_ratio is not None
        and lane.ratio.median <= 1
        and lane.one_ratio.low > SLOWEST
    )
