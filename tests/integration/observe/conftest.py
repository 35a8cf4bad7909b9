"""What the tests of observation share: logging that is undone, and a runtime folder of their own."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import PostgresServer, postgres_server

from laneway.observe import logs

type Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that is logged, at level info, as JSON; call it for the lines so far."""
    stream = io.StringIO()
    setup = logs.configure("info", lines="json", redact=["password", "token"], stream=stream)

    def so_far() -> list[dict[str, Any]]:
        setup.handler.flush()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield so_far
    setup.remove()
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for sockets that no other engine uses. Short: a socket's path may have 107 bytes."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="lw", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / "laneway"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store that other processes can open."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/laneway.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
