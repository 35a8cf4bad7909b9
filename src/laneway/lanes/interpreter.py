"""The interpreter lane: CPU work and plugins in interpreters of their own, inside disposable host processes."""

from laneway._core.model import TaskSpec
from laneway.lanes._fleet import Fleet
from laneway.lanes._reach import unenforceable, unreachable
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["InterpreterLane"]


class InterpreterLane:
    """Runs orders in the fleet's interpreter workers, each loaded with one unit."""

    name = "interpreter"
    capabilities = Capabilities(parallel=True, isolated=True, stops="interrupts")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @property
    def runs_on_processes(self) -> str:
        """Why its workers are plain processes, where native modules may load; empty where they are interpreters."""
        return self._fleet.no_interpreters

    async def open(self) -> None:
        """Get ready; workers start with the first order."""
        await self._fleet.open()

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt; see `laneway.ports.Lane.run`."""
        return await self._fleet.run(order, "interpreter")

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Closures, lambdas and functions of a prompt cannot be reached from another interpreter."""
        return (
            self._fleet.refused(unit)
            or unreachable(unit, task)
            or unenforceable(unit, task, self._shell(unit))
        )

    def _shell(self, unit: Unit) -> str:
        return "process" if self._fleet.no_interpreters else "interpreter"

    def health(self) -> LaneHealth:
        """Workers, queue and restarts."""
        return self._fleet.health("interpreter")

    async def retire(self, unit_key: str) -> None:
        """Let that unit's workers finish, then close them."""
        await self._fleet.retire(unit_key, "interpreter")

    async def close(self, *, grace: float) -> None:
        """Close the fleet; it is shared with the other lanes."""
        await self._fleet.close(grace=grace)
