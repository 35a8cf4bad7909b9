"""A clock that tests turn by hand."""

import asyncio
import heapq
from datetime import UTC, datetime
from itertools import count

__all__ = ["FakeClock"]


class FakeClock:
    """Clock port that stands still until `advance` is called. Calling it gives seconds, as stores want their clock."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def __call__(self) -> float:
        return self._now

    def now(self) -> datetime:
        """Aware time in UTC."""
        return datetime.fromtimestamp(self._now, UTC)

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now

    async def sleep_until(self, moment: float) -> None:
        """Wait until somebody turned the clock to the epoch second `moment`."""
        if moment <= self._now:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), sleeper))
        await sleeper

    def advance(self, seconds: float) -> None:
        """Turn the clock forward and wake whoever slept until then, in order of their moments."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            sleeper = heapq.heappop(self._sleepers)[2]
            if not sleeper.done():
                sleeper.set_result(None)

    def step(self, seconds: float) -> None:
        """Set the clock forward or back, as a system does to its wall clock. Wakes nobody."""
        self._now += seconds
