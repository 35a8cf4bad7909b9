"""Artifacts of steps that a worker runs for engines elsewhere: kept in the store that both use."""

from uuid import uuid7

from laneway.engine.artifacts import Artifacts
from laneway.lanes import Fleet
from laneway.ports import Lane, Outcome, StepOrder, Store
from laneway.registry import store_from
from laneway.settings import Settings
from laneway.stores._processes import here
from laneway.stores.artifacts import artifacts_of

__all__ = ["FarArtifacts"]


class FarArtifacts:
    """Runs orders with what they refer to at hand, and keeps what they make before the engine hears of it.

    Args:
        url: the store that engines use.
        fleet: whose workers make and read artifacts.
    """

    def __init__(self, url: str, fleet: Fleet, settings: Settings) -> None:
        self._store: Store = store_from(url, durability=settings.durability)
        self._artifacts = Artifacts(settings.artifact_bytes)
        fleet.workshop = self._artifacts.worker_setup

    async def open(self) -> None:
        """Open the store.

        Raises:
            StoreUnavailable: it cannot be reached.
        """
        await self._store.open(here(str(uuid7())))
        self._artifacts.open(artifacts_of(self._store))

    async def run(self, lane: Lane, order: StepOrder) -> Outcome:
        """As `lane.run`."""
        return await self._artifacts.settle(lane, order, await self._artifacts.run(lane, order))

    async def close(self) -> None:
        """Remove what was staged, and leave the store."""
        await self._artifacts.close()
        await self._store.close()
