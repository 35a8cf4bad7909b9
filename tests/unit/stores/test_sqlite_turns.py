"""Who writes: the event loop for a small commit that nothing is before, its thread for everything else."""

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from laneway._core.records import RunRecord
from laneway.stores import _sqlite_turns as turns
from laneway.stores.sqlite import SqliteStore
from laneway.testing.store_parts import card, committed, ended, step, submission, written

HERE, THREAD = True, False


class Watch:
    """Notes at which point of a commit which thread was, and does something there if told."""

    def __init__(self) -> None:
        self.committed: list[bool] = []
        """Of every commit whether the main thread made it."""
        self.at: dict[str, Callable[[], Any]] = {}

    def __call__(self, point: str) -> None:
        if point == "committed":
            self.committed.append(threading.current_thread() is threading.main_thread())
        action = self.at.pop(point, None)
        if action is not None:
            action()


@asynccontextmanager
async def opened(path: Path, watch: Watch, **options: Any) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(path, hook=watch, **options)
    await store.open(card())
    await idle(store)
    watch.committed.clear()
    try:
        yield store
    finally:
        await store.close()


async def idle(store: SqliteStore) -> None:
    """Wait until the thread has put down what it did."""
    assert store._writer is not None
    turns = store._writer._turns
    while turns._handed != turns._done or turns.lock.locked():
        await asyncio.sleep(0)


def steps_in(path: Path) -> list[str]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [task for (task,) in connection.execute("select task from step order by task")]
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(turns, "_SLOW_SECONDS", 60.0)  # the machine may be busy
    return tmp_path / "store.db"


async def test_lone_small_commits_are_the_loops_and_everything_else_is_the_threads(path: Path) -> None:
    watch = Watch()
    async with opened(path, watch) as store:
        record = await store.submit(submission())
        await committed(store, written(record, step(record, "one")))
        assert watch.committed == [HERE, HERE]
        await asyncio.gather(*[store.submit(submission()) for _ in range(turns._RECORDS + 1)])
        await committed(
            store, written(record, step(record, "large", patch=b'"' + b"x" * turns._BYTES + b'"'))
        )
        await committed(store, written(record, *[step(record, f"s{n}") for n in range(turns._STEPS + 1)]))
        await store.renew(lease=15)
        await idle(store)
        assert watch.committed == [HERE, HERE, THREAD, THREAD, THREAD, THREAD]
        await committed(store, written(record, step(record, "two"), end=ended()))
        assert watch.committed[6:] == [HERE]
    assert {"one", "two", "large"} < set(steps_in(path))


async def test_synced_commits_are_never_the_loops(path: Path) -> None:
    watch = Watch()
    async with opened(path, watch, durability="fsync") as store:
        await store.submit(submission())
    assert HERE not in watch.committed


async def test_what_is_handed_over_behind_the_threads_work_stays_behind_it(path: Path) -> None:
    watch = Watch()
    order: list[str] = []
    held = threading.Event()
    async with opened(path, watch) as store:
        record = await store.submit(submission())
        watch.at["begun"] = held.wait
        many = [step(record, f"s{n}") for n in range(turns._STEPS + 1)]
        first = asyncio.ensure_future(committed(store, written(record, *many)))
        first.add_done_callback(lambda _: order.append("many"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is on its way to the thread now, which holds it
        second = asyncio.ensure_future(committed(store, written(record, step(record, "small"))))
        second.add_done_callback(lambda _: order.append("small"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == []
        held.set()
        await asyncio.gather(first, second)
    assert order == ["many", "small"]
    assert watch.committed[:2] == [HERE, THREAD]


async def test_loop_never_waits_for_another_programs_lock(path: Path) -> None:
    watch = Watch()
    async with opened(path, watch) as store:
        record = await store.submit(submission())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        writing = asyncio.ensure_future(committed(store, written(record, step(record, "one"))))
        longest, before = 0.0, time.perf_counter()
        for _ in range(50):
            await asyncio.sleep(0.002)
            longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
        assert not writing.done()
        assert longest < 2, "the store waits five seconds for a lock, in its thread"
        other.execute("rollback")
        other.close()
        await writing
    assert watch.committed[:2] == [HERE, THREAD]


@pytest.mark.parametrize("point", ["begin", "begun", "written", "committed"])
async def test_interruption_at_any_point_loses_nothing_and_repeats_nothing(path: Path, point: str) -> None:
    watch = Watch()
    loop = asyncio.get_running_loop()
    seen: list[BaseException] = []

    class Stop(BaseException):
        pass

    def stop() -> None:
        raise Stop

    async with opened(path, watch) as store:
        record = await store.submit(submission())
        flush = store._flush

        def flushed() -> None:  # as a program that catches what its signal handler raises
            try:
                flush()
            except Stop as error:
                seen.append(error)

        store._flush = flushed  # type: ignore[method-assign]
        watch.at[point] = stop
        await asyncio.wait_for(committed(store, written(record, step(record, "one"))), 10)
        assert len(seen) == 1
        assert loop.is_running()
        await committed(store, written(record, step(record, "two")))
    assert steps_in(path) == ["one", "two"]
    assert watch.committed[1] is (THREAD if point != "committed" else HERE)


async def test_slow_commit_leaves_the_next_ones_to_the_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_SLOW_SECONDS", 0.005)
    ticks = itertools.count(step=0.01)
    monkeypatch.setattr(turns, "perf_counter", lambda: next(ticks))
    watch = Watch()
    async with opened(path, watch) as store:
        await store.submit(submission())
        await store.submit(submission())
    assert watch.committed[:2] == [HERE, THREAD]


async def test_log_starts_anew_however_long_the_loop_writes(path: Path) -> None:
    watch = Watch()
    sizes: list[int] = []
    log = path.with_name("store.db-wal")
    async with opened(path, watch) as store:
        record: RunRecord = await store.submit(submission())
        for number in range(3 * turns._WHOLE * turns._CHECKPOINT):
            await committed(store, written(record, step(record, f"s{number}")))
            if number % (turns._WHOLE * turns._CHECKPOINT) == turns._CHECKPOINT:
                sizes.append(log.stat().st_size)
        assert watch.committed.count(HERE) > turns._CHECKPOINT
    assert max(sizes) < 40 << 20, "24 KiB a commit, for as many as the log is left to grow"
    assert len(steps_in(path)) == 3 * turns._WHOLE * turns._CHECKPOINT


async def test_engine_gets_its_new_name_between_two_commits(path: Path) -> None:
    watch = Watch()
    names: list[str] = []
    async with opened(path, watch) as store:
        await store.submit(submission())
        writer, again = store._writer, card()
        assert writer is not None
        before = writer.engine
        await idle(store)
        watch.at["begun"] = lambda: names.append(writer.engine)
        watch.at["committed"] = lambda: names.append(writer.engine)
        await store.open(again)
        assert names == [before, again.id]
