"""The lane conformance suite on the celery lane, with a worker behind each broker."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from brokers import Broker
from celery_workers import Worker

from laneway.lanes import CeleryLane, Fleet
from laneway.ports import Lane
from laneway.testing.lanes import LaneConformance, order_for


@pytest.fixture(scope="module")
def worker(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
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


class TestCelery(LaneConformance):
    """Everything that every lane must do."""


LIMIT = 0.3


@pytest.mark.parametrize("case", ["endless_loop", "sleeps", "catastrophic_expression", "stubborn_child"])
async def test_attempt_is_over_soon_after_its_limit_whatever_it_does(lane: Lane, case: str) -> None:
    await lane.run(order_for(lane, "echo", {"data": 0}))
    outcome = await lane.run(order_for(lane, case, {"seconds": 60}, timeout=LIMIT))
    assert (outcome.kind, json.loads(outcome.body)["kind"]) == ("failure", "timeout")
    assert outcome.stopped_by in ("interrupt", "kill")
    assert (await lane.run(order_for(lane, "echo", {"data": "next"}))).body == b'"next"'


async def test_cancelling_kills_what_cannot_be_asked_and_says_so(lane: Lane) -> None:
    order = order_for(lane, "sleeps", {"seconds": 60})
    running = asyncio.ensure_future(lane.run(order))
    while not lane.health().running:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # let it sink into its sleep; sooner it would be over sooner
    running.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    assert caught.value.stopped_by in ("interrupt", "kill")  # type: ignore[attr-defined]  # added by the lane
    assert lane.health().running == 0


async def test_what_is_called_back_before_a_worker_took_it_never_runs(lane: Lane, tmp_path: Path) -> None:
    busy = [asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 1.5}))) for _ in range(8)]
    while lane.health().running < 8:
        await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 60})))
    await asyncio.sleep(0.1)
    assert lane.health().queued == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.gather(*busy)
    begun = time.monotonic()
    assert (await lane.run(order_for(lane, "echo", {"data": 1}))).body == b"1"
    assert time.monotonic() - begun < 30, "the order that was called back holds the worker"


async def test_what_is_printed_comes_back_with_the_attempt(lane: Lane) -> None:
    outcome = await lane.run(order_for(lane, "prints", {"data": "here"}))
    assert outcome.output.splitlines() == ["out here", "err here"]


async def test_crash_of_a_task_is_its_failure_and_the_worker_lives_on(lane: Lane) -> None:
    outcome = await lane.run(order_for(lane, "exits_at_once", {"code": 3}))
    assert (outcome.kind, json.loads(outcome.body)["kind"]) == ("failure", "lost_lane")
    assert (await lane.run(order_for(lane, "echo", {"data": 1}))).body == b"1"


async def test_input_that_no_broker_would_carry_is_refused_with_the_reason(lane: Lane) -> None:
    most = lane.capabilities.max_payload
    assert most is not None
    outcome = await lane.run(order_for(lane, "echo", {"data": "x" * most}))
    assert "carries" in json.loads(outcome.body)["message"]
