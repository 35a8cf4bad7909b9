"""Histograms as they are counted, and where their buckets end."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

__all__ = ["ROWS", "SECONDS", "SECONDS_LONG", "Distribution"]

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)
SECONDS_LONG = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
ROWS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


class Distribution:
    """Counts per bucket, and the sum. A value is in the first bucket whose bound it does not exceed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: Collection[float]) -> None:
        """Count many: sorted once, they cost a look for each bucket instead of one for each value."""
        ordered = sorted(values)
        before = 0
        for place, bound in enumerate(self.bounds):
            if before == len(ordered):
                break
            reached = bisect_right(ordered, bound, before)
            self.counts[place] += reached - before
            before = reached
        self.counts[-1] += len(ordered) - before
        self.total += sum(ordered)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        reached = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, map(float, self.bounds)), "+Inf"], list(self.counts), strict=True):
            reached += count
            found.append((bound, reached))
        return found
