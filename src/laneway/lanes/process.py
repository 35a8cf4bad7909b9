"""The process lane: a disposable process per worker, for work that may crash or must be limited hard."""

from laneway._core.model import TaskSpec
from laneway.lanes._fleet import Fleet
from laneway.lanes._reach import unreachable
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["ProcessLane"]


class ProcessLane:
    """Runs orders in the fleet's process workers, each loaded with one unit."""

    name = "process"
    capabilities = Capabilities(parallel=True, isolated=True, stops="kills")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def open(self) -> None:
        """Get ready; workers start with the first order."""
        await self._fleet.open()

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt; see `laneway.ports.Lane.run`."""
        return await self._fleet.run(order, "process")

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Closures, lambdas and functions of a prompt cannot be reached from another interpreter."""
        return unreachable(unit, task)

    def health(self) -> LaneHealth:
        """Workers, queue and restarts."""
        return self._fleet.health("process")

    async def retire(self, unit_key: str) -> None:
        """Let that unit's workers finish, then close them."""
        await self._fleet.retire(unit_key, "process")

    async def close(self, *, grace: float) -> None:
        """Close the fleet; it is shared with the other lanes."""
        await self._fleet.close(grace=grace)
