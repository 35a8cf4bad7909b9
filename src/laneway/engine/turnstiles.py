"""Lanes with something in front of them: a pool that each step holds, or a gate where the right step is next."""

from collections.abc import Callable

from laneway import _attempt
from laneway._core.model import TaskSpec
from laneway.engine.gates import Gate
from laneway.engine.pools import Pool
from laneway.ports import Lane, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["PooledLane", "Turnstile"]

_AHEAD_SECONDS = 0.002
"""How much work is handed to each worker ahead, so that it never waits for the next order."""
_AHEAD = 64
_LEAST_SECONDS = 1e-5


class _Front:
    """A lane that adds something to `run` and is otherwise the lane behind it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.name = lane.name
        self.capabilities = lane.capabilities

    async def open(self) -> None:
        await self.lane.open()

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        return self.lane.refusal(unit, task)

    def health(self) -> LaneHealth:
        return self.lane.health()

    async def retire(self, unit_key: str) -> None:
        await self.lane.retire(unit_key)

    async def close(self, *, grace: float) -> None:
        await self.lane.close(grace=grace)


class PooledLane(_Front):
    """Has every attempt hold a pool while it runs. Those who wait for the pool are on no lane."""

    def __init__(
        self, lane: Lane, pool: Pool, amount: float, rank_of: Callable[[str], tuple[int, str]]
    ) -> None:
        super().__init__(lane)
        self.pool = pool
        self._amount = amount
        self._rank_of = rank_of

    async def run(self, order: StepOrder) -> Outcome:
        """One attempt, with the pool held; see `laneway.ports.Lane.run`."""
        priority, key = self._rank_of(order.run)
        async with self.pool.hold(self._amount, priority=priority + order.task.priority, key=key):
            if (here := _attempt.current.get()) is not None:
                here.holds = f"the pool {self.pool.name!r}" if order.task.pool else "a place of a limit"
            return await self.lane.run(order)


class Turnstile(_Front):
    """Lets as many steps onto a lane as keep its workers busy, and has the others wait where priority counts.

    Args:
        lane: a lane whose own queue knows neither priority nor fairness.
        width: how many steps it runs at once.
        rank_of: a run's priority and the key it is fair by.
    """

    def __init__(self, lane: Lane, width: int, rank_of: Callable[[str], tuple[int, str]]) -> None:
        super().__init__(lane)
        self.width = width
        self.gate = Gate(width)
        self._rank_of = rank_of
        self._seconds = 0.0
        """How long a step takes, quick to rise and slow to fall."""

    async def run(self, order: StepOrder) -> Outcome:
        """One attempt, when it is its turn; see `laneway.ports.Lane.run`."""
        gate = self.gate
        if gate.inside < gate.size and not gate.waiting:
            gate.inside += 1
        else:
            priority, key = self._rank_of(order.run)
            await gate.acquire(priority=priority + order.task.priority, key=key)
        try:
            outcome = await self.lane.run(order)
            self._learn(outcome.duration, order.task.batch)
            return outcome
        finally:
            gate.release()

    def _learn(self, duration: float, batch: int) -> None:
        """Short steps are let ahead of the workers, long ones are not."""
        known = self._seconds
        self._seconds = duration if duration > known else known + (duration - known) * 0.1
        ahead = min(_AHEAD, int(_AHEAD_SECONDS / max(self._seconds, _LEAST_SECONDS)))
        self.gate.size = self.width * max(1 + ahead, batch)
