"""Results of benchmarks as tests need them."""

from laneway._core.lane_times import InlineTimes, LaneTimes, Machine, Spread, TaskTimes


def same(value: float) -> Spread:
    """A spread without any."""
    return Spread(value, value, value, value, value)


def lane(name: str, ratio: float, *, handover: float = 1e-4) -> LaneTimes:
    """A lane that took that long, relative to inline."""
    return LaneTimes(
        name, "measured", "", 0.1, same(ratio), same(ratio), same(handover), same(ratio), same(ratio)
    )


def times(*lanes: LaneTimes, call: float = 0.1) -> TaskTimes:
    """A task that was measured on those lanes."""
    return TaskTimes(
        task="burn",
        unit="m",
        place="m.py",
        calls=10,
        inputs=1,
        rounds=20,
        warm_up_seconds=1.0,
        workers=2,
        inline=InlineTimes(same(call * 10), same(call), 0.2, 1.0),
        lanes=lanes,
        machine=Machine("cpu", 2, "system", 0.0, 0.0),
    )
