"""Brokers and workers for the tests of this folder; each file starts its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Broker, RabbitServer, RedisServer
from celery_workers import Worker

pytest.register_assert_rewrite("laneway.testing.lanes")

BROKERS: dict[str, type[Broker]] = {"redis": RedisServer, "rabbitmq": RabbitServer}


@pytest.fixture(scope="module", params=list(BROKERS))
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """One broker after the other, running."""
    server = BROKERS[request.param]()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def redis() -> Iterator[Broker]:
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


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
