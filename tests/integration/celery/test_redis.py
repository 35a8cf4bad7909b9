"""The celery lane on Redis: everything that a lane must do, how it stops, and what it survives."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from brokers import Broker
from celery_losses import Losses, Start, begun_times, marks, until
from far_steps import marked

from laneway import Engine
from laneway.lanes import CeleryLane, Fleet
from laneway.ports import Lane
from laneway.testing.lanes import LaneConformance, order_for

pytestmark = pytest.mark.redis

LIMIT = 0.3


class TestLane(LaneConformance):
    """Everything that every lane must do, and what this one does besides."""

    attempts = int(os.environ.get("LANEWAY_TEST_CELERY_ATTEMPTS", "1000"))

    async def test_ten_thousand_attempts_leave_no_thread_and_no_descriptor(self, lane: Lane) -> None:
        """As on every lane, but fewer: a broker makes each a hundred times longer."""

        async def many(count: int) -> None:
            for _ in range(count // 250):
                sent = (lane.run(order_for(lane, "echo", {"data": 1})) for _ in range(250))
                assert {outcome.body for outcome in await asyncio.gather(*sent)} == {b"1"}

        async def traces() -> list[object]:
            looks = [await self._value(lane, "leaves_traces", data=1) for _ in range(4)]
            there = {
                name: min(one[name] for one in looks) for name in looks[0]
            }  # without what is there for a moment
            return [sorted(there.items()), threading.active_count(), len(os.listdir("/proc/self/fd"))]

        at_once = [lane.run(order_for(lane, "cooperative", {"seconds": 0.3})) for _ in range(8)]
        await asyncio.gather(*at_once)  # all threads that there may be are there
        await many(500)
        before = await traces()
        await many(self.attempts)
        assert await traces() == before

    @pytest.mark.parametrize("case", ["endless_loop", "sleeps", "catastrophic_expression", "stubborn_child"])
    async def test_attempt_is_over_soon_after_its_limit_whatever_it_does(self, lane: Lane, case: str) -> None:
        outcome = await lane.run(order_for(lane, case, {"seconds": 60}, timeout=LIMIT))
        assert (outcome.kind, json.loads(outcome.body)["kind"]) == ("failure", "timeout")
        assert outcome.stopped_by in ("interrupt", "kill")
        assert (await lane.run(order_for(lane, "echo", {"data": "next"}))).body == b'"next"'

    async def test_cancelling_kills_what_cannot_be_asked_and_says_so(self, lane: Lane) -> None:
        running = asyncio.ensure_future(lane.run(order_for(lane, "sleeps", {"seconds": 60})))
        await until(lambda: lane.health().running == 1)
        await asyncio.sleep(0.3)  # let it sink into its sleep; sooner it would be over sooner
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        assert caught.value.stopped_by in ("interrupt", "kill")  # type: ignore[attr-defined]  # added by the lane
        assert lane.health().running == 0

    async def test_what_is_called_back_before_a_worker_took_it_never_runs(
        self, lane: Lane, folder: Path
    ) -> None:
        stuck = [
            asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 60}))) for _ in range(8)
        ]
        await until(lambda: lane.health().running == 8)
        waiting = asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 60})))
        await until(lambda: lane.health().queued == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for one in stuck:
            one.cancel()
        await asyncio.wait(stuck)
        begun = time.monotonic()
        echoes = await asyncio.gather(*(lane.run(order_for(lane, "echo", {"data": 1})) for _ in range(8)))
        assert [one.body for one in echoes] == [b"1"] * 8
        assert time.monotonic() - begun < 30, "what was called back holds the worker"

    async def test_idle_lane_has_no_thread_left_and_connects_again(
        self, lane: Lane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("laneway.lanes._celery_watch._IDLE_SECONDS", 0.0)
        for _ in range(2):
            assert (await lane.run(order_for(lane, "echo", {"data": 1}))).body == b"1"
            assert any(one.name.startswith("laneway-celery") for one in threading.enumerate())
            await until(
                lambda: not any(one.name.startswith("laneway-celery") for one in threading.enumerate())
            )

    async def test_what_is_printed_comes_back_with_the_attempt(self, lane: Lane) -> None:
        outcome = await lane.run(order_for(lane, "prints", {"data": "here"}))
        assert outcome.output.splitlines() == ["out here", "err here"]

    async def test_crash_of_a_task_is_its_failure_and_the_worker_lives_on(self, lane: Lane) -> None:
        outcome = await lane.run(order_for(lane, "exits_at_once", {"code": 3}))
        assert (outcome.kind, json.loads(outcome.body)["kind"]) == ("failure", "lost_lane")
        assert (await lane.run(order_for(lane, "echo", {"data": 1}))).body == b"1"

    async def test_input_that_no_broker_would_carry_is_refused_with_the_reason(self, lane: Lane) -> None:
        most = lane.capabilities.max_payload
        assert most is not None
        outcome = await lane.run(order_for(lane, "echo", {"data": "x" * most}))
        assert "carries" in json.loads(outcome.body)["message"]


class TestLosses(Losses):
    """Workers that die, and a broker that forgets everything when it starts again."""


async def test_worker_that_is_told_to_end_gives_back_what_it_cannot_finish(
    broker: Broker, workers: Start, folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    given = {"folder": str(folder), "seconds": 0.05, "gate": str(gate)}
    first = workers(broker, "--queue", "io", "--concurrency", "1", LANEWAY_GRACE="0.2").ready()
    async with Engine("memory://", broker=broker.url) as engine:
        run = await engine.start(marked, {"count": 1, **given})
        await until(lambda: len(marks(folder, "begun")) == 1)
        second = workers(broker, "--queue", "io", "--concurrency", "1").ready()
        assert await asyncio.to_thread(first.end) == 0
        await until(lambda: len(marks(folder, "begun")) == 2)
        gate.touch()
        result = await run.result()
        assert str(second.process.pid) in result.steps[1].attempts[0].worker
        assert engine.lanes["celery"].health().restarts == 0, "it was given back, not missed"


async def test_worker_that_is_told_to_end_finishes_what_it_can(
    broker: Broker, workers: Start, folder: Path
) -> None:
    worker = workers(broker, "--concurrency", "1", LANEWAY_GRACE="20").ready()
    async with Engine("memory://", broker=broker.url) as engine:
        run = await engine.start(marked, {"count": 1, "folder": str(folder), "seconds": 0.5})
        await until(lambda: len(marks(folder, "begun")) == 1)
        assert await asyncio.to_thread(worker.end) == 0
        assert (await run.result()).context["total"] == 0
    assert begun_times(folder) == {"0": 1}


FIRST_ENGINE = """
import asyncio, sys
from far_steps import marked
from laneway import Engine

async def main(store, broker, folder, gate):
    async with Engine(store, broker=broker) as engine:
        await engine.run(marked, {"count": 2, "folder": folder, "seconds": 0.05, "gate": gate}, key="one")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_run_of_an_engine_that_died_is_taken_over_with_the_steps_it_had_sent(
    broker: Broker, workers: Start, folder: Path, tmp_path: Path
) -> None:
    gate, store = tmp_path / "gate", f"sqlite:///{tmp_path / 'laneway.db'}"
    workers(broker, "--concurrency", "4").ready()
    first = subprocess.Popen(
        [sys.executable, "-c", FIRST_ENGINE, store, broker.url, str(folder), str(gate)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        await until(lambda: len(marks(folder, "begun")) == 2)
    finally:
        first.kill()
        first.wait(10)
    async with Engine(store, broker=broker.url, workflows=[marked]) as engine:
        await until(lambda: begun_times(folder) == {"0": 2, "1": 2})
        gate.touch()
        given = {"count": 2, "folder": str(folder), "seconds": 0.05, "gate": str(gate)}
        result = await engine.run(marked, given, key="one")
    assert result.context["total"] == 1


async def test_queue_that_nobody_reads_fails_after_a_while_and_names_the_command(broker: Broker) -> None:
    lane = CeleryLane(Fleet(workers=1), broker=broker.url.removesuffix("0") + "1", patience=1)
    await lane.open()
    outcome = await lane.run(order_for(lane, "echo", {"data": 1}))
    await lane.close(grace=0)
    failure = json.loads(outcome.body)
    assert (failure["kind"], failure["type"]) == ("lost_lane", "NoWorker")
    assert "laneway worker --queue io" in failure["message"]


async def test_broker_that_is_not_there_fails_after_a_while_and_is_named_without_its_password() -> None:
    lane = CeleryLane(Fleet(workers=1), broker="redis://user:secret@127.0.0.1:1/0", patience=0.5)
    await lane.open()
    outcome = await lane.run(order_for(lane, "echo", {"data": 1}))
    await lane.close(grace=0)
    failure = json.loads(outcome.body)
    assert (failure["kind"], failure["type"]) == ("lost_lane", "BrokerUnreachable")
    assert "redis://user:***@127.0.0.1:1/0" in failure["message"]
    assert "secret" not in outcome.body.decode()
    assert "LANEWAY_CELERY_BROKER" in failure["message"]
