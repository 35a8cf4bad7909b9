"""Metrics are what the store's history says: under failures, retries, cancellation, shutdown and takeover."""

import asyncio
import collections
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import watched
from prometheus_client import CollectorRegistry

from laneway import Backpressure, Engine, Pool, Workflow
from laneway.observe.metrics import exposition, serve

type Samples = dict[tuple[Any, ...], float]


def samples(*registries: CollectorRegistry) -> Samples:
    """All samples, added up over registries: name and label values to value."""
    found: Samples = collections.defaultdict(float)
    for registry in registries:
        for family in registry.collect():
            for sample in family.samples:
                key = (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
                found[key] += sample.value
    return found


def of(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in found.items() if key[0] == name and value}


async def history(engine: Engine) -> Counter[str]:
    """How often each kind of event is in the store."""
    kinds: Counter[str] = Counter()
    cursor = 0
    while events := await engine.events(after=cursor):
        kinds.update(event.kind for event in events)
        cursor = events[-1].seq
    return kinds


def check_against(kinds: Counter[str], found: Samples) -> None:
    """Every counter that derives from events equals the store's history, and no value is negative."""
    assert min(found.values()) >= 0
    counted = {
        key[0].removeprefix("kind="): value for key, value in of(found, "laneway_events_total").items()
    }
    told = {kind: number for kind, number in kinds.items() if kind not in ("run_submitted", "run_resumed")}
    assert counted == told
    for status in ("succeeded", "failed", "skipped", "cancelled"):
        steps = sum(
            value
            for labels, value in of(found, "laneway_steps_total").items()
            if f"status={status}" in labels
        )
        assert steps == kinds[f"step_{status}"], status
    assert sum(of(found, "laneway_retries_total").values()) == kinds["step_retrying"]
    for status in ("succeeded", "failed", "cancelled"):
        runs = sum(
            value
            for labels, value in of(found, "laneway_runs_finished_total").items()
            if f"status={status}" in labels
        )
        assert runs == kinds[f"run_{status}"], status


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/laneway.db"


async def test_failures_retries_skips_and_maps_are_counted_as_they_are_recorded(store: str) -> None:
    engine = Engine(store, workers=1)
    registry = engine.metrics
    async with engine:
        await engine.run(Workflow("tries", [watched.works_the_third_time]), {})
        await engine.run(Workflow("fails", [watched.fails_twice]), {"attempts": []}, check=False)
        await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1, 2, -3]}, check=False)
        await engine.run(watched.EVERYWHERE, {"numbers": [1]})
        found = samples(registry)
        check_against(await history(engine), found)
    assert of(found, "laneway_retries_total") == {("lane=loop",): 4}
    assert of(found, "laneway_attempts_total")[("lane=loop", "status=failed")] == 2 + 3 + 1
    assert of(found, "laneway_failures_total") == {("kind=other",): 6}
    assert of(found, "laneway_steps_total")[("lane=process", "status=succeeded")] == 1
    assert of(found, "laneway_steps_total")[("lane=none", "status=skipped")] == 1
    durations = of(found, "laneway_attempt_duration_seconds_count")
    assert sum(durations.values()) == sum(of(found, "laneway_attempts_total").values())
    assert found[("laneway_runs_live",)] == 0


async def test_a_run_that_is_written_only_at_its_end_counts_the_same() -> None:
    engine = Engine("memory://", durability="exit")
    registry = engine.metrics
    async with engine:
        await engine.run(Workflow("tries", [watched.works_the_third_time]), {})
        found = samples(registry)
        check_against(await history(engine), found)
    assert of(found, "laneway_store_commits_total") == {(): 1}


async def test_cancelled_runs_leave_nothing_live(store: str) -> None:
    engine = Engine(store)
    registry = engine.metrics
    async with engine:
        handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
        while not (driver := engine.live(handle.id)) or not driver.running:
            await asyncio.sleep(0)
        live = samples(registry)
        assert live[("laneway_runs_live",)] == live[("laneway_attempts_running",)] == 1
        await handle.cancel()
        found = samples(registry)
        check_against(await history(engine), found)
    assert found[("laneway_runs_live",)] == found[("laneway_attempts_running",)] == 0
    assert of(found, "laneway_steps_total") == {("lane=loop", "status=cancelled"): 1}


async def test_a_closed_engine_shows_what_it_left() -> None:
    engine = Engine("memory://", grace=0)
    registry = engine.metrics
    async with engine:
        await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
    found = samples(registry)
    assert of(found, "laneway_runs_left_total") == {("reason=interrupted",): 1}
    assert found[("laneway_runs_live",)] == 0


PROGRAM = """
import asyncio, os, sys
from prometheus_client import generate_latest
from laneway import Engine, Workflow, task

@task
async def first(): return 1

@task(retries=1)
async def second(first):
    if not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        raise RuntimeError("once")
    if len(sys.argv) > 3:
        print(generate_latest(registry).decode(), flush=True)
        os._exit(9)
    return 2

flow = Workflow("crash", [first, second])

async def main():
    global registry
    engine = Engine(sys.argv[1], lease=1.0)
    registry = engine.metrics
    async with engine:
        if len(sys.argv) > 3:
            await engine.run(flow, {}, key="k")
        else:
            result = await engine.run(flow, {}, key="k")
            assert result.status == "succeeded"
            print(generate_latest(registry).decode(), flush=True)

asyncio.run(main())
"""


def parsed(text: str) -> Samples:
    from prometheus_client.parser import text_string_to_metric_families

    found: Samples = collections.defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
            found[key] += sample.value
    return found


async def test_over_a_crash_and_a_takeover_the_sums_are_the_stores_history(tmp_path: Path, url: str) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    texts: list[str] = []
    for more in (["crash"], []):
        done = subprocess.run(
            [sys.executable, str(file), url, str(tmp_path / "mark"), *more],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == (9 if more else 0), done.stderr
        texts.append(done.stdout)
    crashed, took_over = (parsed(text) for text in texts)
    both = {key: crashed.get(key, 0) + took_over.get(key, 0) for key in crashed | took_over}
    async with Engine(url) as engine:
        kinds = await history(engine)
    told = {kind: number for kind, number in kinds.items() if kind not in ("run_submitted", "run_resumed")}
    assert {
        key[0].removeprefix("kind="): value for key, value in of(both, "laneway_events_total").items()
    } == told
    assert kinds["step_retrying"] == 1
    assert of(took_over, "laneway_runs_taken_up_total") == {("workflow=crash",): 1}
    assert of(both, "laneway_runs_finished_total") == {("status=succeeded", "workflow=crash"): 1}
    assert min(both.values()) >= 0


async def test_waiting_and_refused_starts_are_counted() -> None:
    engine = Engine("memory://", max_runs=1)
    registry = engine.metrics
    async with engine:
        flow = Workflow("waits", [watched.waits_for_ever])
        handle = await engine.start(flow, {})
        with pytest.raises(Backpressure):
            await engine.start(flow, {}, wait=False)
        from laneway import aio

        waiting = aio.create_task(engine.start(flow, {}))
        await asyncio.sleep(0)
        await handle.cancel()
        second = await waiting
        await second.cancel()
        found = samples(registry)
    assert found[("laneway_backpressure_refusals_total",)] == 1
    assert found[("laneway_backpressure_waits_total",)] == 1


async def test_the_figures_can_be_scraped_from_another_thread_while_runs_go_on() -> None:
    engine = Engine("memory://", workers=1)
    server, thread = serve(engine.metrics, port=0)
    try:
        async with engine:
            ended = threading.Event()
            texts: list[str] = []

            def scrape() -> None:
                while not ended.is_set():
                    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                        texts.append(answer.read().decode())

            scraper = threading.Thread(target=scrape)
            scraper.start()
            try:
                for _ in range(5):
                    await engine.run(watched.EVERYWHERE, {"numbers": [1, 2]})
                    await asyncio.sleep(0)
            finally:
                ended.set()
                await asyncio.to_thread(scraper.join)
        runs = 'laneway_runs_finished_total{status="succeeded",workflow="everywhere"} 5.0'
        assert runs in exposition(engine.metrics).decode()
        assert len(texts) > 1
        assert any('laneway_lane_workers{lane="interpreter"} 1.0' in text for text in texts)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_engines_do_not_share_figures() -> None:
    one, other = Engine("memory://"), Engine("memory://")
    assert one.metrics is not other.metrics
    async with one, other:
        await one.run(Workflow("map", [watched.item, watched.after]), {"items": [1]})
        counted: Iterable[float] = of(samples(other.metrics), "laneway_steps_total").values()
        assert not list(counted)


async def test_waiting_for_a_signal_retrying_by_hand_and_pausing_lose_no_count(store: str) -> None:
    engine = Engine(store)
    registry = engine.metrics
    async with engine:
        handle = await engine.start(Workflow("ship", [watched.approval, watched.shipped]), {})
        async for event in handle.events():
            if event.kind == "step_waiting":
                break
        await handle.signal("approved", True)
        assert (await handle.result()).context["shipped"] is True
        failed = await engine.run(Workflow("fails", [watched.fails_twice]), {"attempts": []}, check=False)
        again = await engine.retry(failed.id, Workflow("fails", [watched.fails_twice]))
        await again.result(check=False)
        found = samples(registry)
        kinds = await history(engine)
        check_against(kinds, found)
    assert kinds["run_retried"] == 1
    assert kinds["step_waiting"] >= 1
    attempts = of(found, "laneway_attempts_total")
    assert attempts == {("lane=loop", "status=succeeded"): 2, ("lane=loop", "status=failed"): 3 + 3}
    assert found[("laneway_runs_live",)] == 0


async def test_pools_show_what_they_have_and_what_is_held() -> None:
    pool = Pool("gpu", slots=2)
    engine = Engine("memory://", pools=[pool])
    registry = engine.metrics
    async with engine:
        with pool.hold():
            held = samples(registry)
        free = samples(registry)
    assert of(held, "laneway_pool_capacity") == {("pool=gpu",): 2}
    assert of(held, "laneway_pool_used") == {("pool=gpu",): 1}
    assert not of(free, "laneway_pool_used")
