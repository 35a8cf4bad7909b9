"""A scheduler that ends at any of its writes, before or after they are durable: the next one makes it good."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laneway import Engine, Scheduler, Workflow, task
from laneway._core.jobs import Change
from laneway.testing.clock import FakeClock

START = datetime(2027, 1, 1, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@task
async def note(name: str) -> str:
    return name


quick = Workflow("quick", [note])


class Breaking:
    """A book whose n-th write by a leader is never answered: made or not, its scheduler hangs there and is ended."""

    def __init__(self, book: Any, number: int, *, after: bool) -> None:
        self._book = book
        self._left = number
        self._after = after
        self.broken = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    async def write(self, change: Change, *, term: int | None = None) -> None:
        self._left -= term is not None
        if self._left == 0:
            if self._after:
                await self._book.write(change, term=term)
            self.broken.set()
            await asyncio.Event().wait()
        await self._book.write(change, term=term)


def broken_host(engine: Engine, number: int, *, after: bool) -> tuple[Any, Callable[[], Breaking]]:
    made: list[Breaking] = []

    class Host:
        store = engine.store
        listen = staticmethod(engine.listen)
        start = staticmethod(engine.start)

        @staticmethod
        def scheduling() -> Any:
            book, card = engine.scheduling()
            made.append(Breaking(book, number, after=after))
            return made[0], card

    return Host(), lambda: made[0]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 11))
async def test_whatever_write_a_scheduler_ends_at_each_moment_is_run_once(number: int, after: bool) -> None:
    clock = FakeClock(START.timestamp())
    async with Engine("memory://") as engine:
        host, book = broken_host(engine, number, after=after)
        first = Scheduler(host, clock=clock)
        for name in ("a", "b"):
            await first.add(
                name, quick, {"name": "{due}"}, every=MINUTE, misfire="all", parallel_safe=name == "b"
            )
        await first.start()
        for _ in range(3):
            settled = asyncio.ensure_future(first.settled())
            broken = asyncio.ensure_future(book().broken.wait())
            await asyncio.wait([settled, broken], return_when=asyncio.FIRST_COMPLETED)
            settled.cancel()
            if broken.done():
                break
            broken.cancel()
            clock.advance(60)
        assert book().broken.is_set()
        await first.close(grace=0)
        clock.advance((START + 4 * MINUTE).timestamp() - clock.time())
        async with Scheduler(engine, clock=clock) as second:
            for name in ("a", "b"):
                await second.add(name, quick, {"name": "{due}"}, every=MINUTE, misfire="all")
            await second.settled()
            history = await second.history(limit=100)
        assert {one.status for one in history} == {"succeeded"}
        moments = [START + MINUTE * minute for minute in (1, 2, 3, 4)]
        assert sorted((one.name, one.due) for one in history) == [
            (name, due) for name in ("a", "b") for due in moments
        ]
        runs = await engine.find(limit=100)
        assert sorted(run["key"] for run in runs) == sorted(one.key for one in history)
        assert {run["id"] for run in runs} == {one.run for one in history}
