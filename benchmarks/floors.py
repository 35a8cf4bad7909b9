"""What the machine allows: plain asyncio tasks, and a bare writer thread with group commit. No engine beats these."""

import asyncio
import queue
import sqlite3
import threading
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["AsyncioFloor", "StoreFloor"]


class AsyncioFloor:
    """One asyncio task per step in a TaskGroup, nothing kept."""

    async def chain(self, context: dict[str, Any]) -> dict[str, Any]:
        """Three steps, one after another."""
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                step = group.create_task(_step(context))
            context = step.result()
        return context

    async def fan_out(self, count: int) -> int:
        """One, then `count` at once, then one."""
        first = await _step({"n": 0})
        async with asyncio.TaskGroup() as group:
            steps = [group.create_task(_step(first)) for _ in range(count)]
        return sum(step.result()["n"] for step in steps)


class StoreFloor:
    """The least a durable engine must do: a step row and an event row per step, group commit in one writer thread."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[asyncio.Future[None], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._path = path
        self._synchronous = synchronous
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    async def chain(self, run: int) -> None:
        """Three steps, one after another, each durable before the next."""
        context: dict[str, Any] = {"blob": "x" * 180, "n": 0}
        for number in range(3):
            context = await asyncio.create_task(_step(context))
            await self._put((run, f"t{number}", "done", msgspec.json.encode(context)))

    async def fan_out(self, run: int, count: int) -> None:
        """`count` steps at once."""

        async def one(number: int) -> None:
            context = await asyncio.create_task(_step({"blob": "x" * 180, "n": 0}))
            await self._put((run, f"m{number}", "done", msgspec.json.encode(context)))

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))

    def close(self) -> None:
        """End the writer."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, row: tuple[Any, ...]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((future, row))
        return future

    def _write(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {self._synchronous}")
        connection.execute(
            "create table step (run int, task text, status text, patch blob, primary key (run, task)) without rowid"
        )
        connection.execute(
            "create table event (id integer primary key, run int, task text, kind text, at real)"
        )
        while True:
            waiting = [self._queue.get()]
            while not self._queue.empty() and len(waiting) < 512:
                waiting.append(self._queue.get())
            rows = [one for one in waiting if one is not None]
            if rows:
                connection.execute("begin immediate")
                connection.executemany(
                    "insert or replace into step values (?, ?, ?, ?)", [row for _, row in rows]
                )
                connection.executemany(
                    "insert into event (run, task, kind, at) values (?, ?, 'done', 1.0)",
                    [(row[0], row[1]) for _, row in rows],
                )
                connection.execute("commit")
                self._loop.call_soon_threadsafe(_finish, [future for future, _ in rows])
            if len(rows) < len(waiting):
                connection.close()
                return


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def _step(context: dict[str, Any]) -> dict[str, Any]:
    return {**context, "n": context.get("n", 0) + 1}
