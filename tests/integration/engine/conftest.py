"""Engines on every store that needs no server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from laneway import Engine


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store's URL."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/laneway.db"


@pytest.fixture
async def engine(store: str) -> AsyncIterator[Engine]:
    """An open engine on a fresh store."""
    async with Engine(store) as opened:
        yield opened
