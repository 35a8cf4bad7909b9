"""Packages that engines leave in a store: there as long as somebody may need them, gone after that."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from package_folders import MANIFEST, make_folder

from laneway import Engine
from laneway._core.errors import PackageUnreadable
from laneway.lanes import celery
from laneway.packages import depot, open_package
from laneway.packages.depot import NOTE_SECONDS, Collected, collect, fetch, held, leave
from laneway.packages.sending import content_of, packed
from laneway.ports import Store, Unit
from laneway.registry import store_from
from laneway.stores.memory import MemoryStore
from laneway.testing.store_parts import card, committed, ended, submission, text_id, written

HOUR = 3600.0
DAY = 24 * HOUR
BEGIN = 1_800_000_000.0
"""When a package is used in these tests, in seconds since the epoch."""


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return open_package(make_folder(tmp_path / "shop")).unit()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/laneway.db"
    found = store_from(url, durability="commit")
    await found.open(card())
    yield found
    await found.close()


def at(moment: float) -> Any:
    """A clock that stands still."""
    return lambda: moment


async def begun(store: Store, workflow: str, moment: float) -> Any:
    """A run of that workflow that began then."""
    run = int(moment * 1000).to_bytes(6) + os.urandom(10)
    return await store.submit(submission(workflow, run=run, created=moment))


async def test_package_that_was_left_is_the_same_on_another_machine(
    store: Store, unit: Unit, tmp_path: Path
) -> None:
    assert await fetch(store, content_of(unit)) is None
    await leave(store, unit, "sell")
    archive = await fetch(store, content_of(unit))
    assert archive is not None
    (tmp_path / "there.lane").write_bytes(archive)
    assert open_package(tmp_path / "there.lane").unit().key == unit.key
    assert await held(store) == Collected(1, len(archive))


async def test_package_is_packed_once_whoever_uses_it(store: Store, unit: Unit) -> None:
    await leave(store, unit, "sell")
    shutil.rmtree(Path(unit.paths[0]).parent)  # nothing to pack any more
    await leave(store, unit, "sell")
    await leave(store, unit, "buy")
    assert (await held(store)).packages == 1


async def test_package_whose_files_changed_is_not_left(store: Store, unit: Unit) -> None:
    Path(unit.paths[0], "shop_tasks.py").write_text("x = 2\n")
    with pytest.raises(PackageUnreadable, match="changed since it was loaded"):
        await leave(store, unit, "sell")
    assert await held(store) == Collected()


async def test_package_that_nobody_used_for_long_goes_and_others_stay(
    store: Store, unit: Unit, tmp_path: Path
) -> None:
    other = open_package(make_folder(tmp_path / "other", MANIFEST.replace('"shop"', '"other"'))).unit()
    await leave(store, unit, "sell", now=at(BEGIN))
    await leave(store, other, "sell", now=at(BEGIN + 20 * DAY))
    size = len(await fetch(store, content_of(unit)) or b"")
    now = at(BEGIN + 31 * DAY)
    assert await collect(store, before=BEGIN - 1, now=now) == Collected()
    assert await collect(store, before=BEGIN + DAY, now=now) == Collected(1, size)
    assert await collect(store, before=BEGIN + DAY, now=now) == Collected()
    assert await fetch(store, content_of(unit)) is None
    assert await fetch(store, content_of(other)) is not None
    documents = [await store.read("documents", kind=kind) for kind in ("package", "package-use")]
    assert [[one["name"] for one in kind] for kind in documents] == [[content_of(other)]] * 2


async def test_what_was_used_in_the_last_two_hours_stays_whatever_is_asked(store: Store, unit: Unit) -> None:
    await leave(store, unit, "sell", now=at(BEGIN))
    assert await collect(store, before=BEGIN + DAY, now=at(BEGIN + 2 * HOUR)) == Collected()
    assert (await collect(store, before=BEGIN + DAY, now=at(BEGIN + 2 * HOUR + 1))).packages == 1


async def test_using_it_again_keeps_it(store: Store, unit: Unit) -> None:
    for day in (0, 10, 20):
        await leave(store, unit, "sell", now=at(BEGIN + day * DAY))
    assert await collect(store, before=BEGIN + 15 * DAY, now=at(BEGIN + 45 * DAY)) == Collected()
    assert (await collect(store, before=BEGIN + 21 * DAY, now=at(BEGIN + 45 * DAY))).packages == 1


@pytest.mark.parametrize("status", ["running", "suspended", "paused"])
async def test_package_stays_while_a_run_that_may_have_used_it_is_not_over(
    store: Store, unit: Unit, status: str
) -> None:
    run = await begun(store, "sell", BEGIN - DAY)
    if status != "running":
        await committed(store, written(run, end=ended(status, at=BEGIN, due=BEGIN + 99 * DAY)))
    await leave(store, unit, "sell", now=at(BEGIN))
    await leave(store, unit, "buy", now=at(BEGIN))
    late: dict[str, Any] = {"before": BEGIN + 30 * DAY, "now": at(BEGIN + 40 * DAY)}
    assert await collect(store, **late) == Collected()
    await store.claim(run=text_id(run))
    await committed(store, written(run, end=ended("cancelled", at=BEGIN + DAY)))
    assert (await collect(store, **late)).packages == 1


async def test_runs_of_other_workflows_and_later_ones_keep_nothing(store: Store, unit: Unit) -> None:
    await leave(store, unit, "sell", now=at(BEGIN))
    await begun(store, "another", BEGIN - DAY)
    await begun(store, "sell", BEGIN + DAY)  # of other code: it would have noted the use
    late: dict[str, Any] = {"before": BEGIN + 30 * DAY, "now": at(BEGIN + 40 * DAY)}
    assert (await collect(store, **late)).packages == 1


async def test_package_that_was_collected_is_left_anew(store: Store, unit: Unit) -> None:
    await leave(store, unit, "sell", now=at(BEGIN))
    await collect(store, before=BEGIN + DAY, now=at(BEGIN + 9 * DAY))
    await leave(store, unit, "sell", now=at(BEGIN + 9 * DAY))
    assert await fetch(store, content_of(unit)) is not None


class Dying(MemoryStore):
    """Its program dies after so many changes of documents."""

    changes = 99

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        if not self.changes:
            raise asyncio.CancelledError
        self.changes -= 1
        return await super().keep(kind, name, body, version=version)


@pytest.mark.parametrize("changes", range(3))
async def test_engine_that_dies_while_it_leaves_a_package_does_no_harm(unit: Unit, changes: int) -> None:
    store = Dying()
    await store.open(card())
    store.changes = changes
    with pytest.raises(asyncio.CancelledError):
        await leave(store, unit, "sell", now=at(BEGIN))
    store.changes = 99
    if changes == 1:
        await leave(store, unit, "sell", now=at(BEGIN))
        assert await fetch(store, content_of(unit)) is not None
    await collect(store, before=BEGIN + DAY, now=at(BEGIN + 9 * DAY))
    assert await held(store) == Collected()
    assert await store.read("documents", kind="package") == []
    await leave(store, unit, "sell", now=at(BEGIN + 9 * DAY))
    assert await fetch(store, content_of(unit)) is not None


@pytest.mark.parametrize("changes", range(3))
@pytest.mark.parametrize("needed", [True, False])
async def test_program_that_dies_while_it_collects_does_no_harm(
    unit: Unit, changes: int, needed: bool
) -> None:
    store = Dying()
    await store.open(card())
    await leave(store, unit, "sell", now=at(BEGIN))
    store.changes = changes
    late: dict[str, Any] = {"before": BEGIN + DAY, "now": at(BEGIN + 9 * DAY)}
    with pytest.raises(asyncio.CancelledError):
        await collect(store, **late)
    store.changes = 99
    if needed:
        await leave(store, unit, "sell", now=at(BEGIN + 9 * DAY))
        assert await fetch(store, content_of(unit)) is not None
    else:
        await collect(store, **late)
        assert await held(store) == Collected()
        assert await store.read("documents", kind="package") == []


class Interleaved(MemoryStore):
    """Others come in between before and after each of its answers, by chance."""

    chance = random.Random(0)

    async def _others(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        await self._others()
        found = await super().read(query, **arguments)
        await self._others()
        return found

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        await self._others()
        kept = await super().keep(kind, name, body, version=version)
        await self._others()
        return kept


async def test_engines_and_collectors_at_once_never_lose_a_package_that_was_just_left(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(unit)
    monkeypatch.setattr(depot, "packed", lambda _: archive)

    async def there(_: Any, unit: Unit) -> bytes:
        return archive

    monkeypatch.setattr(asyncio, "to_thread", there)  # chance alone decides who is next
    now = at(BEGIN + 3 * HOUR)

    async def sends(store: Store, workflow: str) -> None:
        await leave(store, unit, workflow, now=now)
        assert await fetch(store, content_of(unit)) == archive

    collected = 0
    for seed in range(300):
        store = Interleaved()
        await store.open(card())
        store.chance = random.Random(seed)
        await leave(store, unit, "sell", now=at(BEGIN))
        async with asyncio.TaskGroup() as group:
            takers = [group.create_task(collect(store, before=BEGIN + DAY, now=now)) for _ in range(3)]
            for workflow in ("sell", "buy"):
                group.create_task(sends(store, workflow))
        assert await fetch(store, content_of(unit)) == archive, seed
        assert await held(store) == Collected(1, len(archive))
        assert await collect(store, before=BEGIN + DAY, now=now) == Collected()
        collected += sum(taker.result().packages for taker in takers)
    assert 0 < collected < 300, "both orders were tried"


def test_lane_notes_uses_well_before_they_are_too_old() -> None:
    assert 2 * celery._LEFT_SECONDS <= NOTE_SECONDS


async def test_engine_collects_by_request_and_by_its_retention(unit: Unit, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine:
        await leave(engine.store, unit, "sell", now=at(BEGIN - 365 * DAY))
        assert (await engine.sweep(30 * DAY))["packages"] == 1
        assert (await engine.sweep(30 * DAY))["packages"] == 0
        await leave(engine.store, unit, "sell", now=at(BEGIN - 365 * DAY))
    async with Engine(url, retention="30d") as engine, asyncio.timeout(30):
        while (await held(engine.store)).packages:
            await asyncio.sleep(0.02)


async def test_use_that_another_release_noted_is_left_alone(store: Store, unit: Unit) -> None:
    await store.keep("package-use", content_of(unit), b'{"since": 7}')
    assert await collect(store, before=BEGIN, now=at(BEGIN + DAY)) == Collected()
    await leave(store, unit, "sell", now=at(BEGIN))
    assert await fetch(store, content_of(unit)) is not None
