"""`ManagedTaskGroup`: named children with metadata, so many at once, whose failures stay their own."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from laneway import aio

__all__ = ["ManagedTaskGroup"]


class ManagedTaskGroup:
    """Runs children together and ends when all have ended. Built on `laneway.aio.TaskGroup`.

    A child that fails or is cancelled leaves its siblings alone. When the group itself is cancelled, or its body
    raises, all children are cancelled and awaited first, as in `asyncio.TaskGroup`.

    Args:
        name: what the group calls itself in errors.
        limit: how many children run at once; None: all.
        cancel_siblings: cancel the others when one fails.
        raises: at the end raise an ExceptionGroup of all failures; False only collects them in `errors`.
    """

    def __init__(
        self,
        name: str = "group",
        *,
        limit: int | None = None,
        cancel_siblings: bool = False,
        raises: bool = True,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: at least one child must be able to run")
        self.name = name
        self.errors: dict[str, Exception] = {}
        """What children raised, by their names."""
        self.cancelled: list[str] = []
        """Children that were cancelled."""
        self._children: dict[str, asyncio.Task[Any]] = {}
        self._group = aio.TaskGroup()
        self._room = None if limit is None else asyncio.Semaphore(limit)
        self._contagious = cancel_siblings
        self._raises = raises

    @property
    def running(self) -> list[str]:
        """Names of the children that have not ended."""
        return list(self._children)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if group.exceptions != (error,):
                raise
            return  # the body's own error goes on as it is
        if self.errors and self._raises:
            failed = len(self.errors)
            raise ExceptionGroup(f"{failed} of the children of {self.name!r} failed", [*self.errors.values()])

    def start[T](
        self,
        coroutine: Coroutine[Any, Any, T],
        *,
        name: str,
        metadata: aio.TaskMetadata | aio.TaskMetadataFields | None = None,
    ) -> asyncio.Future[T]:
        """Start a child and return the future of its result or failure; cancelling the future cancels the child.

        A child's name is free again when it has ended.

        Raises:
            ValueError: a child of that name is still running.
            RuntimeError: the group is not open.
        """
        if name in self._children:
            coroutine.close()
            raise ValueError(f"{self.name!r} has a child {name!r} already")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        child = self._group.create_task(self._child(coroutine, name, result), name=name, metadata=metadata)
        self._children[name] = child
        child.add_done_callback(lambda _: self._ended(coroutine, name, result))
        result.add_done_callback(lambda future: child.cancel() if future.cancelled() else None)
        return result

    def cancel(self, name: str) -> bool:
        """Cancel one child; False if it has ended."""
        child = self._children.get(name)
        return child is not None and child.cancel()

    async def _child[T](
        self, coroutine: Coroutine[Any, Any, T], name: str, result: asyncio.Future[T]
    ) -> None:
        try:
            if self._room is None:
                value = await coroutine
            else:
                async with self._room:
                    value = await coroutine
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        except Exception as error:  # noqa: BLE001 - collected: the point of this group
            self.errors[name] = error
            if self._contagious:
                for other, child in self._children.items():
                    if other != name:
                        child.cancel()
            if not result.done():
                result.set_exception(error)
                result.exception()  # whoever awaits it gets it; nobody has to
        else:
            if not result.done():
                result.set_result(value)

    def _ended(self, coroutine: Coroutine[Any, Any, Any], name: str, result: asyncio.Future[Any]) -> None:
        self._children.pop(name, None)
        coroutine.close()  # it may never have begun
        if not result.done():
            result.cancel()
