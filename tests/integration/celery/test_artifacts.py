"""Artifacts on other machines: workers keep and read them in the store that they share with the engine."""

from collections.abc import Callable
from pathlib import Path

import far_artifacts
from brokers import Broker
from celery_workers import Worker

from laneway import Engine

type Start = Callable[..., Worker]


async def test_workers_make_and_read_artifacts_in_the_engines_store(
    broker: Broker, workers: Start, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    async with Engine(store, broker=broker.url) as engine:
        workers(broker, "--store", store).ready()
        given = await engine.artifacts.put(b"given")
        result = await engine.run(far_artifacts.flow, {"given": given})
        assert await engine.artifacts.read(result.context["far"]) == b"given, seen from far"
        assert result.context["near"] == len(b"given, seen from far")
        assert {one["size"] for one in await engine.artifacts.list(result.id)} == {5, 20}
        assert next(one.lane for one in result.steps if one.task == "far") == "celery"


async def test_worker_without_the_store_is_told_of(broker: Broker, workers: Start, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    async with Engine(store, broker=broker.url) as engine:
        workers(broker).ready()
        result = await engine.run(far_artifacts.lone, {}, check=False)
        assert result.error is not None
        assert "Start workers with --store URL" in result.error["message"]


def test_worker_whose_store_cannot_be_opened_does_not_start(broker: Broker, workers: Start) -> None:
    worker = workers(broker, "--store", "sqlite:////nowhere/at/all.db")
    assert worker.process.wait(40) == 1
    assert "/nowhere/at" in worker.err
