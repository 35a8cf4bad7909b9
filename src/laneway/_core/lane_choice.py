"""Which lane runs a task, and why: a pure function of facts."""

from collections.abc import Mapping
from typing import NamedTuple

from laneway._core.lane_times import TaskTimes, objection
from laneway._core.model import TaskSpec

__all__ = ["LaneChoice", "LaneFacts", "choose"]


class LaneFacts(NamedTuple):
    """What is known about a task's surroundings when its package is loaded."""

    refusals: Mapping[str, str]
    """Per lane that cannot run the task, why."""
    lanes: frozenset[str]
    """Lanes that are there."""
    measured: TaskTimes | None = None
    """What `laneway bench lanes --save` found out about the task, if it was measured here."""
    on_processes: bool = False
    """True where the interpreter lane's workers are plain processes: then the process lane's times are its times."""


class LaneChoice(NamedTuple):
    """The lane and the reason in words; `refused` is set when no lane can run the task as asked."""

    lane: str
    reason: str
    refused: str | None = None


def choose(spec: TaskSpec, facts: LaneFacts) -> LaneChoice:
    """Choose a lane. One asked for that cannot run the task is refused, unless `fallback=True` lets another take it."""
    if spec.lane != "auto":
        return _explicit(spec, facts)
    for lane, reason in _candidates(spec, facts):
        if lane in facts.lanes and lane not in facts.refusals:
            return LaneChoice(lane, reason)
    why = "; ".join(f"{lane}: {reason}" for lane, reason in sorted(facts.refusals.items()))
    return LaneChoice("thread", "", refused=f"no lane can run it ({why})")


def _candidates(spec: TaskSpec, facts: LaneFacts) -> list[tuple[str, str]]:
    if spec.is_async and not spec.cpu:
        return [
            ("loop", "it is a coroutine"),
            ("thread", "it is a coroutine, and the loop lane cannot run it"),
            ("process", "it is a coroutine, and no other lane can run it"),
        ]
    if not spec.cpu:
        return [
            ("thread", "it is a plain function and not marked cpu"),
            ("interpreter", "it is a plain function, and the thread lane cannot run it"),
            ("process", "it is a plain function, and no other lane can run it"),
        ]
    refused = facts.refusals.get("interpreter")
    instead = f"it is marked cpu, and the interpreter lane cannot run it: {refused}"
    ways = [
        ("process", instead if refused else "it is marked cpu"),
        ("thread", "it is marked cpu, but no isolated lane can run it"),
    ]
    timed = "process" if facts.on_processes else "interpreter"
    if facts.measured is not None and (against := objection(facts.measured, timed)):
        return [*_measured_ways(facts.measured, against), *ways]
    because = "it is marked cpu, and its code loads in an isolated interpreter"
    return [("interpreter", f"{because}{_as_measured(facts.measured, timed)}"), *ways]


def _measured_ways(measured: TaskTimes, against: str) -> list[tuple[str, str]]:
    """Where a task goes that measuring keeps off the interpreter lane: to processes only if those were faster."""
    because = f"it is marked cpu, but {against}"
    process, thread = measured.lane("process"), measured.lane("thread")
    if (
        process is not None
        and process.ratio is not None
        and objection(measured, "process") is None
        and process.ratio.median < (thread.ratio.median if thread is not None and thread.ratio else 1.0)
    ):
        return [("process", f"{because}; on the process lane it was {process.speedup:.2f} times as fast")]
    return [("thread", because)]


def _as_measured(measured: TaskTimes | None, timed: str) -> str:
    times = None if measured is None else measured.lane(timed)
    if times is None or times.ratio is None:
        return ""
    return f"; measured {times.speedup:.2f} times as fast as inline there"


def _explicit(spec: TaskSpec, facts: LaneFacts) -> LaneChoice:
    wanted = spec.lane
    refusal = facts.refusals.get(wanted)
    if wanted not in facts.lanes and refusal is None:
        refusal = "this lane is not installed"
    if refusal is None:
        return LaneChoice(wanted, "the task asks for it")
    ways = [one for one in _alternatives(spec, wanted) if one in facts.lanes and one not in facts.refusals]
    if spec.fallback and ways:
        return LaneChoice(ways[0], f"the task asks for {wanted}, which cannot run it: {refusal}")
    advice = (
        f"use lane={ways[0]!r}, or fallback=True to let that happen by itself"
        if ways
        else "no other lane can either"
    )
    return LaneChoice(
        wanted, "", refused=f"task {spec.id!r} cannot run on the {wanted} lane: {refusal}; {advice}"
    )


def _alternatives(spec: TaskSpec, wanted: str) -> list[str]:
    if spec.is_async:
        ladder = ["loop", "process", "thread"]
    elif wanted == "loop" and not spec.cpu:  # what was meant to wait on the loop can wait on a thread
        ladder = ["thread", "interpreter", "process"]
    else:
        ladder = ["interpreter", "process", "thread"]
    return [one for one in ladder if one != wanted]
