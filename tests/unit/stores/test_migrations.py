"""Schema changes come in halves: a running older release works on the first one and is refused after the second."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from laneway._core.errors import StoreSchemaNewer
from laneway.stores._migrations import Migration, migrations, pending
from laneway.stores._sqlite_file import DatabaseFile
from laneway.stores.sqlite import SqliteStore
from laneway.testing.clock import FakeClock
from laneway.testing.stores import StoreSuite, committed, ended, opened, step, submission, text_id, written

TODAY = migrations("sqlite")[-1].number
NEXT = Migration(
    TODAY + 1,
    """
    alter table run add column colour text;
    alter table step add column weight real not null default 0;
    alter table event add column trace blob;
    alter table engine add column version text;
    create table palette (colour text primary key) without rowid;
    create index run_colour on run (colour);
    """,
    "alter table step drop column output; drop index run_parent;",
)
FLOOR = max(one.number for one in migrations("sqlite") if one.number == 1 or one.second)
"""The oldest schema whose code works on today's."""
_DONE = [
    f"{one.number:04}.{half}"
    for one in migrations("sqlite")
    for half in (("first", "second") if one.second else ("first",))
]
LATER = Migration(TODAY + 2, "create table later (id integer primary key);")


def release(path: Path, *changes: Migration, clock: FakeClock | None = None) -> SqliteStore:
    """The store as a release has it that knows those schema changes beside today's."""
    known: Sequence[Migration] = (*migrations("sqlite"), *changes)
    return SqliteStore(path, changes=known, clock=clock or FakeClock(1000.0))


def upgraded(path: Path, *changes: Migration) -> None:
    """Open the file as a newer release does, without working on it: its code for that is not written yet."""
    known = (*migrations("sqlite"), *changes)
    DatabaseFile(path, "sqlite:///store.db", synced=False, migrations=known, busy=1.0).connect().close()


def facts(path: Path) -> tuple[int, list[str], list[str]]:
    connection = sqlite3.connect(path)
    floor = connection.execute("pragma user_version").fetchone()[0]
    halves = [name for (name,) in connection.execute("select name from migration order by name")]
    columns = [row[1] for row in connection.execute("pragma table_info(step)")]
    connection.close()
    return floor, halves, columns


async def first_half(path: Path) -> None:
    """The newer release opens the store while one of today's is at work."""
    async with opened(release(path)) as today:
        record = await today.submit(submission("made before the upgrade"))
        async with opened(release(path, NEXT)) as newer:
            assert await newer.read("run", run=text_id(record))
        await committed(today, written(record, step(record), end=ended()))


async def test_first_half_is_applied_while_the_older_release_works(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await first_half(path)
    floor, halves, columns = facts(path)
    assert (floor, halves) == (FLOOR, [*_DONE, f"{NEXT.number:04}.first"])
    assert {"weight", "output"} <= set(columns)


async def test_second_half_waits_until_no_older_engine_is_registered(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await first_half(path)
    async with opened(release(path)), opened(release(path, NEXT)):
        assert facts(path)[0] == FLOOR
    upgraded(path, NEXT, LATER)
    floor, halves, columns = facts(path)
    added = [f"{NEXT.number:04}.first", f"{NEXT.number:04}.second", f"{LATER.number:04}.first"]
    assert (floor, halves) == (NEXT.number, [*_DONE, *added])
    assert "output" not in columns


async def test_older_release_is_refused_after_the_second_half(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await first_half(path)
    upgraded(path, NEXT)
    with pytest.raises(
        StoreSchemaNewer, match=f"schema {NEXT.number}, this Laneway knows schemas up to {TODAY}"
    ):
        async with opened(release(path)):
            pass


def test_halves_are_applied_in_order_and_stop_at_an_older_engine() -> None:
    known = [Migration(1, "a"), Migration(2, "b", "c"), Migration(3, "d")]
    assert [one[0] for one in pending(known, set(), None)] == [
        "0001.first",
        "0002.first",
        "0002.second",
        "0003.first",
    ]
    assert [one[0] for one in pending(known, {"0001.first"}, 1)] == ["0002.first"]
    assert [one[0] for one in pending(known, {"0001.first", "0002.first"}, 2)] == [
        "0002.second",
        "0003.first",
    ]
    assert pending(known, {"0001.first", "0002.first", "0002.second", "0003.first"}, 3) == []


class UpgradedSite:
    """A store on which the next release has applied its first half; today's code must not notice."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(1000.0)
        self.path = folder / "store.db"

    def store(self) -> SqliteStore:
        return release(self.path, clock=self.clock)

    async def let_leases_end(self) -> None:
        self.clock.advance(100)


class TestTodaysCodeOnTheNextFirstHalf(StoreSuite):
    @pytest.fixture
    async def site(self, tmp_path: Path) -> UpgradedSite:
        site = UpgradedSite(tmp_path)
        async with opened(site.store()), opened(release(site.path, NEXT, clock=site.clock)):
            pass
        return site
