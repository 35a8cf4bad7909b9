"""A broker for each file of this folder, and workers for its tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from brokers import Broker, RedisServer
from celery_workers import Worker

from laneway.lanes import CeleryLane, Fleet
from laneway.ports import Lane

pytest.register_assert_rewrite("laneway.testing.lanes", "celery_losses")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Redis, where a file says nothing else."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="class")
def worker(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that lives as long as a class's tests."""
    worker = Worker(broker.url, tmp_path_factory.mktemp("worker"), "--concurrency", "8")
    try:
        yield worker.ready()
    finally:
        worker.kill()


@pytest.fixture
async def lane(broker: Broker, worker: Worker) -> AsyncIterator[Lane]:
    lane = CeleryLane(Fleet(workers=1), broker=broker.url)
    await lane.open()
    yield lane
    await lane.close(grace=2)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers; all are gone after the test."""
    started: list[Worker] = []

    def start(broker: Broker | str, *arguments: str, **variables: str) -> Worker:
        url = broker if isinstance(broker, str) else broker.url
        started.append(Worker(url, tmp_path / "workers", *arguments, **variables))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where steps leave their marks."""
    marks = tmp_path / "marks"
    marks.mkdir()
    return marks
