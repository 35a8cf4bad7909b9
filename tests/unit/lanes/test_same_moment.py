"""What happens when a stop, an answer, a death or a close meet in one turn of the loop, or before a worker looked."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.unit.lanes.conftest import Bench, MakePackage

from laneway.engine.gates import Gate
from laneway.lanes import _frames as frames
from laneway.lanes._celery_wire import Word, outcome_text
from laneway.lanes._coroutines import KeptLoop
from laneway.lanes._pool import Pool
from laneway.lanes._stopping import Ladder
from laneway.lanes._worker import Worker
from laneway.lanes.celery import CeleryLane
from laneway.lanes.thread import ThreadLane
from laneway.ports import Outcome, StepOrder
from laneway.testing.lanes import order_for

WAITING = """
    import asyncio
    def echo(data): return data
    def endless(data):
        while True:
            pass
    def waits(path):
        open(path, "w").close()
        import time
        time.sleep(60)
    async def sleeps(data):
        await asyncio.sleep(60)
    async def slow_to_leave(data):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
"""


@pytest.fixture
async def patient() -> AsyncIterator[Bench]:
    """Lanes that ask, and ask only: what is not stopped by that is not stopped."""
    bench = Bench(workers=1, ladder=Ladder(ask_coroutine=300, ask_function=300))
    await bench.open()
    yield bench
    await bench.close()


def only_pool(bench: Bench, place: str) -> Pool:
    (pool,) = pools(bench, place)
    return pool


def pools(bench: Bench, place: str) -> list[Pool]:
    return [one for (_, where), one in bench.fleet._pools.items() if where == place]


async def hears(worker: Worker) -> None:
    """Until the worker has heard all that it was told."""
    worker.asked = 1.0
    worker.tell(frames.PING)
    while worker.asked:
        await asyncio.sleep(0.002)


def awaiting(order: StepOrder) -> StepOrder:
    return msgspec.structs.replace(order, task=order.task._replace(is_async=True))


def test_cancelling_what_is_over_spares_what_runs_next() -> None:
    async def at_once() -> str:
        return "first"

    async def in_two_steps() -> str:
        await asyncio.sleep(0)
        return "second"

    kept = KeptLoop()
    seen: list[asyncio.Task[object] | None] = []

    def not_asked() -> bool:
        seen.append(kept.running)  # what a watchdog saw just before the end
        return False

    assert kept.run(at_once(), is_asked=not_asked) == "first"
    kept.cancel(seen[0])
    assert kept.run(in_two_steps()) == "second"
    kept.close()


def test_coroutine_that_was_to_stop_before_it_could_be_cancelled_is_cancelled() -> None:
    kept = KeptLoop()
    with pytest.raises(asyncio.CancelledError):
        kept.run(asyncio.sleep(60), is_asked=lambda: True)
    kept.close()


@pytest.mark.parametrize("name", ["sleeps", "endless"])
async def test_order_that_is_to_stop_before_its_worker_reads_it_never_begins(
    patient: Bench, package: MakePackage, place: str, name: str
) -> None:
    unit = package("early", WAITING)
    await patient.value(place, unit, "echo", data=1)
    (worker,) = only_pool(patient, place).workers
    worker.tell(frames.ASK, worker._next + 1)
    await hears(worker)
    order = patient.order(unit, name, data=1)
    outcome = await asyncio.wait_for(
        patient.lanes[place].run(awaiting(order) if name == "sleeps" else order), 30
    )
    assert outcome.kind == "stopped"
    assert await patient.value(place, unit, "echo", data=2) == 2


async def test_coroutine_in_a_package_that_is_to_stop_before_its_worker_reads_of_it_is_cancelled(
    patient: Bench, package: MakePackage
) -> None:
    unit = package("early", WAITING)
    first = await patient.run("thread", unit, "echo", data=1)
    (worker,) = only_pool(patient, "service").workers
    worker.tell(frames.ASK, worker._next + 1)
    await hears(worker)
    order = awaiting(patient.order(unit, "sleeps", data=1))
    outcome = await asyncio.wait_for(patient.lanes["loop"].run(order), 30)
    assert (outcome.kind, outcome.worker) == ("stopped", first.worker)


async def test_last_word_of_a_worker_that_is_found_dead_leaves_the_pipes_of_the_next_one_alone(
    patient: Bench, package: MakePackage
) -> None:
    unit = package("last", WAITING)
    await patient.value("process", unit, "echo", data=0)
    (worker,) = only_pool(patient, "process").workers
    worker.tell(frames.DRAIN)  # it answers once more and ends
    await hears(worker)
    running = [asyncio.ensure_future(patient.value("process", unit, "echo", data=data)) for data in (1, 2)]
    await asyncio.sleep(0)
    os.waitid(os.P_PID, worker.host.pid, os.WEXITED | os.WNOWAIT)
    worker.host._ended()  # the loop has not seen the answer yet
    assert await asyncio.wait_for(asyncio.gather(*running), 30) == [1, 2]
    (following,) = only_pool(patient, "process").workers
    os.kill(following.host.pid, signal.SIGKILL)
    while not following.host.dead:
        await asyncio.sleep(0.002)


async def test_worker_joins_another_host_when_the_first_died_unnoticed(
    bench: Bench, package: MakePackage
) -> None:
    one, other = package("one", WAITING), package("other", WAITING)
    await bench.value("interpreter", one, "echo", data=1)
    (worker,) = only_pool(bench, "interpreter").workers
    os.kill(worker.host.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.host.pid, os.WEXITED | os.WNOWAIT)
    assert await bench.value("interpreter", other, "echo", data=2) == 2


async def test_unit_is_retired_while_attempts_wait_to_run_again_alone(
    bench: Bench, package: MakePackage, tmp_path: object
) -> None:
    unit = package("suspects", WAITING, policy={"filesystem.read": True, "filesystem.write": True})
    marks = [f"{tmp_path}/{number}" for number in range(2)]
    running = [asyncio.ensure_future(bench.run("interpreter", unit, "waits", path=mark)) for mark in marks]
    while not all(os.path.exists(mark) for mark in marks):
        await asyncio.sleep(0.005)
    pool = only_pool(bench, "interpreter")
    os.kill(pool.workers[0].host.pid, signal.SIGKILL)
    while not pool.suspects:
        await asyncio.sleep(0)
    retiring = asyncio.ensure_future(bench.lanes["interpreter"].retire(unit.key))
    await asyncio.sleep(0)
    for one in running:
        one.cancel()
    await asyncio.gather(retiring, *running, return_exceptions=True)
    assert retiring.exception() is None


async def test_unit_is_retired_once_a_cancelled_attempt_has_ended(bench: Bench, package: MakePackage) -> None:
    unit = package("leaving", WAITING)
    order = awaiting(bench.order(unit, "slow_to_leave", data=1))
    lane = bench.lanes["loop"]
    await bench.value("thread", unit, "echo", data=1)
    running = asyncio.ensure_future(lane.run(order))
    await hears(only_pool(bench, "service").workers[0])
    running.cancel()
    retiring = asyncio.ensure_future(lane.retire(unit.key))
    await asyncio.gather(retiring, running, return_exceptions=True)
    assert retiring.exception() is None
    assert running.cancelled()
    assert not pools(bench, "service")


async def test_thread_lane_tells_what_waits_when_it_closes(bench: Bench) -> None:
    lane = ThreadLane(bench.fleet, threads=1, grace=0.1)
    await lane.open()
    first = asyncio.ensure_future(lane.run(order_for(lane, "cooperative", {"seconds": 60})))
    second = asyncio.ensure_future(lane.run(order_for(lane, "echo", {"data": 1})))
    await asyncio.sleep(0)
    await lane.close(grace=0)
    outcomes = await asyncio.wait_for(asyncio.gather(first, second), 30)
    assert outcomes[1].kind == "failure"
    assert b"not open" in outcomes[1].body


async def test_order_to_a_worker_elsewhere_is_over_when_its_answer_and_its_cancellation_come_together(
    bench: Bench, package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = CeleryLane(bench.fleet, broker="memory://")
    await lane.open()
    order = bench.order(package("far", WAITING), "echo", data=1)
    monkeypatch.setattr(lane, "_leave", lambda _: asyncio.sleep(0))
    monkeypatch.setattr(lane, "_linked", lambda _: None)
    monkeypatch.setattr(lane, "post", lambda _, parcel: parcel.next_delivery())
    running = asyncio.ensure_future(lane.run(order))
    while not lane.parcels:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    (parcel,) = lane.parcels.values()
    lane._heard(Word("began", parcel.delivery, "far away"))
    running.cancel()
    text = outcome_text(Outcome("value", b"1"))
    lane._heard(Word("outcome", parcel.delivery, "far away", outcome=text))
    await asyncio.wait({running}, timeout=10)
    assert running.cancelled()
    await lane.close(grace=0)


async def test_gate_counts_right_when_a_wait_is_cancelled_and_a_place_gets_free_in_one_turn() -> None:
    gate = Gate(1)
    await gate.acquire()
    waiting = asyncio.ensure_future(gate.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    gate.release()
    await asyncio.wait({waiting})
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_gate_forgets_one_who_is_to_be_let_in_in_the_turn_of_its_cancellation() -> None:
    gate = Gate(1)
    tickets: list[int] = []
    await gate.acquire()
    waiting = asyncio.ensure_future(gate.acquire(ticketed=tickets.append))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.insist(tickets[0])
    gate.release()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert (gate.inside, gate.waiting) == (0, 0)
