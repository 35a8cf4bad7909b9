"""The SQLite store keeps the store contract, at both of its durabilities."""

from pathlib import Path
from typing import Literal

import pytest

from laneway.stores.sqlite import SqliteStore
from laneway.testing.clock import FakeClock
from laneway.testing.stores import ArtifactSuite, StoreSuite


class SqliteSite:
    def __init__(self, folder: Path, durability: Literal["commit", "fsync"]) -> None:
        self.clock = FakeClock(1000.0)
        self.durability: Literal["commit", "fsync"] = durability
        self.path = folder / "store.db"

    def store(self) -> SqliteStore:
        return SqliteStore(self.path, durability=self.durability, clock=self.clock)

    async def let_leases_end(self) -> None:
        self.clock.advance(100)


class TestSqliteStore(StoreSuite, ArtifactSuite):
    @pytest.fixture(params=["commit", "fsync"])
    def site(self, request: pytest.FixtureRequest, tmp_path: Path) -> SqliteSite:
        return SqliteSite(tmp_path, request.param)
