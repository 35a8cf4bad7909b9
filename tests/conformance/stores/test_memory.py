"""The memory store keeps the store contract."""

import pytest

from laneway.stores.memory import MemoryStore
from laneway.testing.clock import FakeClock
from laneway.testing.stores import ArtifactSuite, StoreSuite


class MemorySite:
    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self._first = MemoryStore(clock=self.clock)

    def store(self) -> MemoryStore:
        return self._first.beside()

    async def let_leases_end(self) -> None:
        self.clock.advance(100)


class TestMemoryStore(StoreSuite, ArtifactSuite):
    @pytest.fixture
    def site(self) -> MemorySite:
        return MemorySite()
