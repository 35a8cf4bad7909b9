"""Full disks, a server that stops, power that fails: artifacts wait, or say what is wrong, and lose nothing."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rights import small_disk
from servers import postgres_server

from laneway import Artifact, Engine, Workflow, artifact, task
from laneway.stores.sqlite import SqliteStore

pytestmark = pytest.mark.chaos

BODY = os.urandom(1_500_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of four megabytes."""
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


class Heard(logging.Handler):
    """Tells when something is logged."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._lines: list[str] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())
        self._loop.call_soon_threadsafe(self._more.set)

    async def line_with(self, text: str) -> str:
        while True:
            self._more.clear()
            for line in self._lines:
                if text in line:
                    return line
            await self._more.wait()


@contextlib.contextmanager
def heard() -> Iterator[Heard]:
    logger, handler = logging.getLogger("laneway"), Heard()
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


def making(after: Any = lambda: None) -> Workflow:
    """One artifact, with something that happens before it is returned."""

    @task
    async def made() -> Artifact:
        found = artifact(BODY)
        after()
        return found

    return Workflow("making", [made])


async def test_no_room_for_an_artifact_fails_the_task_and_leaves_nothing(disk: Path) -> None:
    ballast = disk / "ballast"
    full = [True]

    @task
    async def made() -> Artifact:
        if full[0]:
            fill(ballast)
        try:
            return artifact(BODY)
        finally:
            ballast.unlink(missing_ok=True)  # the record of the failure has to find room

    flow = Workflow("making", [made])
    async with Engine(f"sqlite:///{disk}/store.db") as engine:
        failed = await engine.run(flow, check=False)
        assert failed.error is not None
        assert "No space left on device" in failed.error["message"]
        assert [one for one in (disk / "store.db.artifacts").rglob("*") if one.is_file()] == []
        full[0] = False
        result = await (await engine.retry(failed.id, flow)).result()
        assert await engine.artifacts.read(result.context["made"]) == BODY


async def test_artifact_waits_until_the_disk_has_room_for_its_record(disk: Path) -> None:
    ballast = disk / "ballast"
    with heard() as lines:
        async with Engine(f"sqlite:///{disk}/store.db") as engine:
            running = asyncio.ensure_future(engine.run(making(after=lambda: fill(ballast)), key="one"))
            line = await lines.line_with("waits for the store")
            assert "full" in line or "No space" in line
            assert not running.done()
            ballast.unlink()
            result = await running
            assert await engine.artifacts.read(result.context["made"]) == BODY


@pytest.mark.postgres
@pytest.mark.timeout(120)
async def test_artifact_waits_until_postgres_is_back() -> None:
    with postgres_server() as server, heard() as lines:
        async with Engine(server.url) as engine:
            flow = making(after=lambda: server.stop("immediate"))
            running = asyncio.ensure_future(engine.run(flow, key="one"))
            await lines.line_with("an artifact of run")
            assert not running.done()
            await asyncio.to_thread(server.start)
            result = await running
            assert await engine.artifacts.read(result.context["made"]) == BODY
            assert [one["runs"] for one in await engine.artifacts.list(result.id)] == [1]


@pytest.mark.parametrize("durability", ["fsync", "commit"])
async def test_files_are_on_the_disk_before_their_step_is_if_commits_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Any
) -> None:
    events: list[str] = []
    sync = os.fsync

    def synced(fd: int) -> None:
        sync(fd)
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        events.append("file" if path.is_file() else path.name)

    monkeypatch.setattr(os, "fsync", synced)
    store = SqliteStore(tmp_path / "store.db", durability=durability, hook=events.append)
    async with Engine(store) as engine:
        result = await engine.run(making())
        digest = result.context["made"]["$artifact"].removeprefix("sha256:")
    kept = events[: events.index("placed") + 3]
    kept = kept[len(kept) - kept[::-1].index("begin") - 1 :]
    before = events[: events.index("placed")]
    if durability == "fsync":
        assert before[::-1].index("begin") < before[::-1].index("file"), (
            "the file itself, before the transaction"
        )
        folders = ["objects", "store.db.artifacts", tmp_path.name, digest[:2]]
        assert kept == ["begin", "begun", *folders, "placed", "written", "committed"]
    else:
        assert "file" not in events
        assert kept == ["begin", "begun", "placed", "written", "committed"]


async def test_what_a_dead_worker_had_staged_is_removed_when_the_next_one_starts(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/store.db") as engine:
        await engine.artifacts.put(b"something")
        staging = next((tmp_path / "store.db.artifacts" / "staging").iterdir())
        for name in ("process-7", "process-8", "process-9"):
            (staging / name).mkdir()
            (staging / name / "1.part").write_bytes(b"x" * 1000)
            if name != "process-9":
                os.utime(staging / name, (0, 0))
        engine.artifacts.worker_setup("process-10", False, {"process-8"})
        assert sorted(one.name for one in staging.iterdir()) == ["engine", "process-8", "process-9"]
