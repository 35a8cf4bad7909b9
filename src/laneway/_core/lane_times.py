"""What `laneway bench lanes` measures, as records, and what follows from it: spreads, ratios, the verdict."""

from collections.abc import Sequence
from math import comb, isfinite
from typing import Any, Literal

import msgspec

__all__ = [
    "FEWEST_ROUNDS",
    "SLOWEST",
    "InlineTimes",
    "LaneTimes",
    "Machine",
    "NotMeasured",
    "Spread",
    "TaskTimes",
    "duration",
    "objection",
    "spread_of",
]

SLOWEST = 1.15
"""The interpreter lane is taken by itself only where it was measured at most 15 % slower than inline."""

FEWEST_ROUNDS = 6
"""With fewer, no interval holds the median with 95 % confidence."""

type LaneStatus = Literal["measured", "refused", "failed", "differs"]


class Spread(msgspec.Struct, frozen=True):
    """The median of some values and how sure it is.

    `low` to `high` holds the true median with a confidence of at least 95 % whatever the values' distribution, from
    six values on (order statistics; Conover, Practical Nonparametric Statistics, 3.2); with fewer they are the
    smallest and the largest.
    """

    median: float
    low: float
    high: float
    least: float
    most: float


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of one or more values."""
    ordered = sorted(values)
    count = len(ordered)
    middle = count // 2
    median = ordered[middle] if count % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    cut = _cut(count)
    return Spread(median, ordered[cut], ordered[count - 1 - cut], ordered[0], ordered[-1])


def _cut(count: int) -> int:
    """How many values at each end lie outside the 95 % interval of the median."""
    cut, below = 0, 1
    while cut < count // 2 and (below + comb(count, cut + 1)) * 40 <= 2**count:
        below += comb(count, cut + 1)
        cut += 1
    return cut if count >= FEWEST_ROUNDS else 0


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured, and what else the machine did."""

    cpu: str
    cores: int
    """Those this program may use."""
    system: str
    load_before: float
    """The load average of the last minute before measuring began: other programs' work."""
    load_after: float


class InlineTimes(msgspec.Struct, frozen=True):
    """The task called directly, one call after another, in a program that does nothing else. Times in seconds."""

    all_calls: Spread
    one_call: Spread
    """Of those calls that lanes run one by one."""
    start: float
    """Until the program was there, with the task's code imported, and had made its first call."""
    cpu_share: float
    """Processor time by wall time: near 1 for work that computes, near 0 for work that waits."""


class LaneTimes(msgspec.Struct, frozen=True):
    """The same calls on one lane. Times in seconds."""

    lane: str
    status: LaneStatus
    reason: str = ""
    """Why it was refused or failed, or where its results differ from those of inline."""
    start: float = 0.0
    """Until the first call was done: starting a worker and importing the task's code included."""
    all_calls: Spread | None = None
    """All calls handed over at once."""
    one_call: Spread | None = None
    """One call handed over alone, from the engine's loop and back."""
    handover: Spread | None = None
    """What of `one_call` was spent outside the task and its JSON."""
    ratio: Spread | None = None
    """`all_calls` relative to inline, round by round."""
    one_ratio: Spread | None = None
    """`one_call` relative to inline, round by round."""

    @property
    def speedup(self) -> float:
        """How many times as fast as inline all calls were."""
        return 1 / self.ratio.median if self.ratio is not None and self.ratio.median > 0 else 0.0

    @property
    def change_percent(self) -> float:
        """How much more (or, below zero, less) time than inline all calls took."""
        return (self.ratio.median - 1) * 100 if self.ratio is not None else 0.0


class NotMeasured(msgspec.Struct, frozen=True):
    """A task that could not be measured, why, and how it can be."""

    task: str
    reason: str
    advice: str = ""


class TaskTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One task on all lanes."""

    task: str
    unit: str
    """The package, module or file it is from, for people."""
    place: str
    """Its source file, or the package's folder."""
    content: str = ""
    """What stands for its code: the package's key, else the task's name and its file's hash."""
    doc: str = ""
    is_async: bool = False
    asked_lane: str = "auto"
    cpu: bool = False
    calls: int
    """How many calls make one round."""
    inputs: int
    """How many different inputs they had."""
    rounds: int
    warm_up_seconds: float
    """Time before the first round: starting workers, importing, one round that does not count."""
    workers: int
    inline: InlineTimes
    lanes: tuple[LaneTimes, ...]
    chosen: str = ""
    """The lane that `lane="auto"` takes with this result."""
    chosen_because: str = ""
    verdict: str = ""
    is_failure: bool = False
    """True where a lane failed or gave other results than inline."""
    warnings: tuple[str, ...] = ()
    python: str = ""
    machine: Machine
    made: str = ""
    """When, in ISO 8601."""

    @property
    def mean_call(self) -> float:
        """Seconds of one call inline, on average over a round's calls, in the median round."""
        return self.inline.all_calls.median / self.calls

    @property
    def quickest_call(self) -> float:
        """The same in the best round: what other programs do can only add to a time."""
        return self.inline.all_calls.least / self.calls

    def lane(self, name: str) -> LaneTimes | None:
        """That lane's times."""
        return next((one for one in self.lanes if one.lane == name), None)

    def as_data(self) -> dict[str, Any]:
        """The same as plain data, with each lane's speed-up and change in per cent."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        for lane, one in zip(data["lanes"], self.lanes, strict=True):
            if one.ratio is not None:
                lane["speedup"] = round(one.speedup, 4)
                lane["change_percent"] = round(one.change_percent, 2)
        return data


def objection(times: TaskTimes, name: str) -> str | None:
    """Why what was measured speaks against that lane: it failed, is more than 15 % slower, or the task is too short.

    None where nothing does, or where the lane was not measured.
    """
    lane = times.lane(name)
    if lane is None or lane.status == "refused":
        return None
    if lane.status == "failed":
        return f"it failed on the {name} lane when it was measured"
    if lane.status == "differs":
        return f"it gave other results on the {name} lane than inline when it was measured"
    if lane.handover is not None and times.quickest_call < lane.handover.least:
        return (
            f"one call was measured to take {duration(times.quickest_call)}, less than the "
            f"{duration(lane.handover.least)} that handing it over to the {name} lane costs"
        )
    if lane.ratio is not None and not lane.ratio.median <= SLOWEST:
        return (
            f"the {name} lane was measured to take {lane.ratio.median:.2f} times as long as inline, "
            f"more than 15 % longer"
        )
    return None


def duration(seconds: float) -> str:
    """Seconds for people, in three digits."""
    if not isfinite(seconds):
        return "?"
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"
