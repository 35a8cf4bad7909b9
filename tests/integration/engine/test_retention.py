"""Finished runs go by themselves once they are old enough: piece by piece, woken by one timer, never too much."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from laneway import Engine, Workflow, task, wait_for_signal
from laneway._core.errors import SettingInvalid, StoreUnavailable
from laneway._core.records import Parent
from laneway.engine.retention import Retention
from laneway.engine.surroundings import Surroundings
from laneway.settings import settings_from
from laneway.stores.memory import MemoryStore
from laneway.testing.store_parts import card
from laneway.testing.stores import committed, ended, step, submission, text_id, written


@task
async def quick(n: int) -> int:
    return n + 1


@task
def asked() -> Any:
    return wait_for_signal("go")


FLOW = Workflow("quick", [quick])
ASKING = Workflow("asking", [asked])


async def until_gone(engine: Engine, *runs: str) -> None:
    async with asyncio.timeout(30):
        while {one["id"] for one in await engine.find(limit=1000)} & set(runs):
            await asyncio.sleep(0.02)


async def test_runs_go_once_they_are_old_enough_and_unfinished_ones_stay(store: str) -> None:
    async with Engine(store, retention=timedelta(seconds=1)) as engine:
        waiting = await engine.start(ASKING)
        await waiting.result()
        over = [(await engine.run(FLOW, {"n": number}, tags={"t": "1"})).id for number in range(20)]
        await until_gone(engine, *over)
        assert [one["id"] for one in await engine.find()] == [waiting.id]
        assert (await engine.store.read("sizes"))[0]["steps"] == 1
        later = (await engine.run(FLOW, {"n": 1})).id
        await until_gone(engine, later)


class Watched(MemoryStore):
    """Tells what retention asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []
        self.trouble: Exception | None = None
        self.asked = asyncio.Event()

    async def sweep(self, *, before: float, limit: int = 1000) -> dict[str, int]:
        self.limits.append(limit)
        self.asked.set()
        if self.trouble is not None:
            raise self.trouble
        return await super().sweep(before=before, limit=limit)


@asynccontextmanager
async def sweeping(store: Watched, seconds: float) -> AsyncIterator[Retention]:
    retention = Retention(Surroundings(store, {}), seconds)
    retention.start()
    try:
        yield retention
    finally:
        await retention.close()


async def rested(retention: Retention, store: Watched) -> float:
    """Seconds from now until it looks again, once it has looked."""
    async with asyncio.timeout(20):
        await store.asked.wait()
        store.asked.clear()
        while (moment := retention.next_look) is None:
            await asyncio.sleep(0)
    return moment - asyncio.get_running_loop().time()


async def finished(store: MemoryStore, ago: float) -> str:
    record = await store.submit(submission())
    await committed(store, written(record, step(record), end=ended(at=time.time() - ago)))
    return text_id(record)


async def test_it_sleeps_until_the_oldest_finished_run_is_due() -> None:
    store = Watched()
    await store.open(card())
    young = [await finished(store, ago=3600 * hours) for hours in (1, 5)]
    old = [await finished(store, ago=3600 * 11) for _ in range(3)]
    async with sweeping(store, 36_000) as retention:
        assert 17_900 < await rested(retention, store) <= 18_000, "five hours are left of ten"
        assert retention.swept == len(old)
    assert {one["id"] for one in await store.read("runs")} == set(young)


async def test_with_nothing_to_delete_it_looks_again_after_the_whole_time_or_a_day() -> None:
    for seconds, wanted in ((3600.0, 3600.0), (86_400.0 * 30, 86_400.0)):
        store = Watched()
        await store.open(card())
        async with sweeping(store, seconds) as retention:
            assert wanted - 60 < await rested(retention, store) <= wanted


async def test_much_is_deleted_in_pieces_that_grow_while_they_are_quick() -> None:
    store = Watched()
    await store.open(card())
    for _ in range(1200):
        await finished(store, ago=100)
    async with sweeping(store, 10) as retention:
        await rested(retention, store)
        assert retention.swept == 1200
    assert store.limits[0] == 50
    assert len(store.limits) >= 3
    assert max(store.limits) <= 1000


async def test_inner_runs_wait_for_the_run_that_started_them() -> None:
    store = Watched()
    await store.open(card())
    above = await store.submit(submission())
    inner = await store.submit(submission("inner", parent=Parent(above.run, "a", -1)))
    await committed(store, written(inner, end=ended(at=time.time() - 1000)))
    async with sweeping(store, 100) as retention:
        assert await rested(retention, store) > 50, "what may not go yet does not keep it awake"
        assert retention.swept == 0


async def test_trouble_of_the_store_is_told_and_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    await store.open(card())
    store.trouble = StoreUnavailable(store="x", reason="the disk is full", advice="Free some space.")
    async with sweeping(store, 10) as retention:
        assert 30 < await rested(retention, store) <= 60
    assert "old runs could not be deleted now" in caplog.text


async def test_two_engines_with_retention_share_a_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    async with Engine(url, retention="1s") as one, Engine(url, retention="1s") as other:
        runs = [(await engine.run(FLOW, {"n": number})).id for engine in (one, other) for number in range(50)]
        await until_gone(one, *runs)
        assert await other.find() == []


def test_retention_is_an_age_of_a_second_at_least() -> None:
    assert settings_from({"LANEWAY_RETENTION": "30d"}).retention == 30 * 86_400
    assert settings_from({}).retention is None
    for wrong in ("soon", "0s", "-1d", "nan"):
        with pytest.raises(SettingInvalid, match="LANEWAY_RETENTION"):
            settings_from({"LANEWAY_RETENTION": wrong})
    with pytest.raises(SettingInvalid, match="retention"):
        Engine("memory://", retention=0.5)


async def test_the_engine_can_keep_what_the_setting_would_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWAY_RETENTION", "1s")
    async with Engine("memory://", retention="off") as engine:
        assert engine._retention is None
