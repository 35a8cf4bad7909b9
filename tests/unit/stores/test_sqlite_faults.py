"""What happens to a SQLite store when the disk, the file or other programs misbehave."""

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid7

import pytest
from rights import small_disk

from laneway._core.errors import StoreError, StoreFenced, StoreLocked, StoreSchemaNewer, StoreUnavailable
from laneway.stores._processes import here
from laneway.stores._trouble import RecordRefused
from laneway.stores.sqlite import SqliteStore
from laneway.testing.clock import FakeClock
from laneway.testing.stores import committed, ended, opened, step, submission, text_id, written

pytestmark = pytest.mark.chaos


class Heard(logging.Handler):
    """Wakes whoever waits for a log line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._loop.call_soon_threadsafe(self._changed.set)

    async def wait_for(self, text: str) -> str:
        async with asyncio.timeout(20):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def heard() -> Any:
    handler = Heard()
    logger = logging.getLogger("laneway.stores")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    with small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


async def test_full_disk_loses_nothing_and_work_goes_on_once_there_is_room(disk: Path, heard: Heard) -> None:
    ballast = disk / "ballast"
    async with opened(SqliteStore(disk / "store.db")) as store:
        record = await store.submit(submission())
        await committed(store, written(record, step(record, "before")))
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        big = b'{"x":"%s"}' % (b"y" * 200_000)
        waiting = asyncio.ensure_future(
            committed(
                store, written(record, step(record, "big", patch=big)), written(record, step(record, "after"))
            )
        )
        line = await heard.wait_for("the disk is full")
        assert "Free some space" in line
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await store.submit(submission(context=big))
        assert [one["task"] for one in await store.read("steps", run=text_id(record))] == ["before"]
        assert not waiting.done()
        ballast.unlink()
        async with asyncio.timeout(20):
            await waiting
        assert await heard.wait_for("can be written again")
        await committed(store, written(record, end=ended()))
        events = [one["event"].task for one in await store.read("events", run=text_id(record))]
        assert events == [None, "before", "big", "after", None], "in the order they were handed over"


async def test_file_size_limit_is_told_and_waited_out(tmp_path: Path, heard: Heard) -> None:
    async with opened(SqliteStore(tmp_path / "store.db")) as store:
        record = await store.submit(submission())
        await committed(store, written(record, step(record, "before")))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (tmp_path / "store.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, hard))
        try:
            row = step(record, "big", patch=b'{"x":"%s"}' % (b"y" * 100_000))
            waiting = asyncio.ensure_future(committed(store, written(record, row)))
            await heard.wait_for("work goes on by itself")
            assert not waiting.done()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        async with asyncio.timeout(20):
            await waiting


async def test_read_only_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path)) as store:
        await store.submit(submission())
    before = path.read_bytes()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    with (
        as_somebody_else(tmp_path),
        pytest.raises(StoreUnavailable, match=r"read-only|cannot be opened") as caught,
    ):
        async with opened(SqliteStore(path)):
            pass
    assert "writ" in str(caught.value)
    assert path.read_bytes() == before


async def test_folder_in_which_nothing_may_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with as_somebody_else(tmp_path), pytest.raises(StoreUnavailable, match="may not be written to"):
        await SqliteStore(tmp_path / "store.db").open(here("one"))


@contextlib.contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Root may write everything: become nobody for a moment, and let nobody reach the folder."""
    if os.geteuid() != 0:
        yield
        return
    closed = [one for one in folder.parents if not one.stat().st_mode & 0o001]
    modes = [one.stat().st_mode for one in closed]
    for one in closed:
        one.chmod(0o711)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for one, mode in zip(closed, modes, strict=True):
            one.chmod(mode)


async def test_locked_file_is_told_and_waited_out(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path, busy=0.2)) as store:
        record = await store.submit(submission())
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("begin exclusive")
        waiting = asyncio.ensure_future(committed(store, written(record, step(record))))
        line = await heard.wait_for("another program holds its lock")
        assert "work goes on by itself" in line
        ticks = 0
        async with asyncio.timeout(20):
            submitting = asyncio.ensure_future(store.submit(submission()))
            while not submitting.done():
                ticks += 1
                await asyncio.sleep(0)
        assert isinstance(submitting.exception(), StoreLocked)
        assert ticks > 100, "the event loop went on meanwhile"
        assert (await store.read("run", run=text_id(record)))[0]["status"] == "running", (
            "readers are not held up"
        )
        locker.execute("rollback")
        locker.close()
        async with asyncio.timeout(20):
            await waiting


async def test_open_transaction_of_a_reader_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path, busy=0.2)) as store:
        record = await store.submit(submission())
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("begin")
        reader.execute("select count(*) from run").fetchall()
        for number in range(50):
            await committed(store, written(record, step(record, f"t{number}")))
        assert reader.execute("select count(*) from step").fetchone() == (0,), (
            "the reader still sees its moment"
        )
        reader.close()


async def test_missing_folder_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "store.db")
    with pytest.raises(StoreUnavailable, match="nowhere does not exist"):
        async with opened(store):
            pass


async def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like one. " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        async with opened(SqliteStore(path)):
            pass
    assert path.read_bytes() == before


async def test_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a folder; name a file in it"):
        async with opened(SqliteStore(tmp_path)):
            pass


async def test_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path)):
        pass
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreSchemaNewer, match="schema 99"):
        async with opened(SqliteStore(path)):
            pass
    assert path.read_bytes() == before


async def test_damaged_page_is_told_by_name(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path)) as store:
        record = await store.submit(submission())
        for number in range(200):
            await committed(
                store, written(record, step(record, f"t{number}", patch=b'{"x":"%s"}' % (b"y" * 500)))
            )
    size = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(4096 * 3, size, 4096):
            file.seek(offset)
            file.write(b"\xff" * 512)
    with pytest.raises(StoreUnavailable, match="damaged") as caught:
        async with opened(SqliteStore(path)) as store:
            await store.read("steps", run=text_id(record))
    assert ".recover" in str(caught.value)


async def test_deleted_file_is_put_back_with_all_that_was_committed(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / "store.db"
    async with opened(SqliteStore(path)) as store, opened(SqliteStore(path)) as other:
        record = await store.submit(submission())
        await committed(store, written(record, step(record, "before")))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        await committed(store, written(record, step(record, "after")))
        assert await heard.wait_for("was deleted while in use")
        mine = await other.submit(submission("other"))
        await committed(other, written(mine, step(mine), end=ended()))
        assert [one["task"] for one in await store.read("steps", run=text_id(record))] == ["after", "before"]
        connection = sqlite3.connect(path)
        assert connection.execute("select count(*) from run").fetchone() == (2,)
        assert connection.execute("select count(*) from step").fetchone() == (3,)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        connection.close()


async def test_folder_deleted_under_a_running_engine_is_told_and_waited_out(
    tmp_path: Path, heard: Heard
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    async with opened(SqliteStore(folder / "store.db")) as store:
        record = await store.submit(submission())
        shutil.rmtree(folder)
        waiting = asyncio.ensure_future(committed(store, written(record, step(record))))
        await heard.wait_for("was deleted")
        assert not waiting.done()
        folder.mkdir()
        async with asyncio.timeout(20):
            await waiting
        assert len(await store.read("steps", run=text_id(record))) == 1


async def test_file_replaced_by_another_store_stops_the_engine_without_writing(tmp_path: Path) -> None:
    path, foreign = tmp_path / "store.db", tmp_path / "foreign.db"
    async with opened(SqliteStore(foreign)) as store:
        await store.submit(submission("foreign"))
    with contextlib.suppress(StoreError):
        async with opened(SqliteStore(path)) as store:
            record = await store.submit(submission())
            os.replace(foreign, path)
            with pytest.raises(StoreFenced):
                await committed(store, written(record, step(record)))
            assert [one["workflow"] for one in await store.read("runs")] == ["foreign"]


async def test_record_that_sqlite_cannot_hold_is_refused_alone(tmp_path: Path) -> None:
    async with opened(SqliteStore(tmp_path / "store.db")) as store:
        bad, good = await store.submit(submission()), await store.submit(submission())
        refused = written(bad, step(bad, output="lone surrogate \ud800"))
        fine = written(good, step(good))
        with pytest.raises(RecordRefused, match=text_id(bad)):
            await committed(store, fine, refused)
        assert len(await store.read("steps", run=text_id(good))) == 1
        assert await store.read("steps", run=text_id(bad)) == []
        with pytest.raises(StoreError):
            await store.submit(submission(key="\ud800"))
        await committed(store, written(bad, step(bad), end=ended()))


async def test_waiting_work_is_refused_when_the_store_closes_before_it_could_be_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, busy=0.1)
    await store.open(here(str(uuid7())))
    record = await store.submit(submission())
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("begin exclusive")
    waiting = asyncio.ensure_future(committed(store, written(record, step(record))))
    await asyncio.sleep(0)
    with pytest.raises(StoreLocked):
        await store.close()
    locker.close()
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_wall_clock_that_jumps_back_frees_and_loses_nothing(tmp_path: Path) -> None:
    """Leases are counted by a clock that no setting of the wall clock touches; a step back of it changes nothing."""
    clock = FakeClock(10_000.0)
    path = tmp_path / "store.db"
    async with (
        opened(SqliteStore(path, clock=clock)) as store,
        opened(SqliteStore(path, clock=clock)) as other,
    ):
        record = await store.submit(submission(created=2_000_000_000.0))
        row = step(record, started=2_000_000_000.0)
        await committed(store, written(record, row))
        earlier = step(record, "b", started=1_999_996_400.0)  # an hour before
        await committed(store, written(record, earlier, end=ended(at=1_999_996_400.0)))
        assert await other.claim(workflows=["flow"]) == []
        assert [one["event"].task for one in await store.read("events", run=text_id(record))] == [
            None,
            "a",
            "b",
            None,
        ]


async def test_several_programs_write_one_file_without_refusals(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    script = """
import asyncio, sys
from laneway.stores.sqlite import SqliteStore
from laneway.testing.stores import committed, ended, opened, step, submission, written
async def main():
    async with opened(SqliteStore(sys.argv[1])) as store:
        async def whole(number):
            record = await store.submit(submission())
            await committed(store, written(record, step(record)))
            await committed(store, written(record, step(record, "b"), end=ended()))
        for _ in range(20):
            await asyncio.gather(*[whole(number) for number in range(5)])
asyncio.run(main())
"""
    programs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for program in programs:
        _, errors = await asyncio.wait_for(program.communicate(), 50)
        assert program.returncode == 0, errors.decode()
    async with opened(SqliteStore(path)) as store:
        assert await store.read("counts") == [{"status": "succeeded", "runs": 400}]
        (sizes,) = await store.read("sizes")
        assert (sizes["steps"], sizes["events"]) == (800, 1600)
