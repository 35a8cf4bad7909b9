"""Creating tasks: `create_task` and `TaskGroup`, asyncio's own with one more keyword."""

import asyncio
from asyncio import AbstractEventLoop, Task, get_running_loop
from collections.abc import Callable
from contextvars import Context
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Never, NoReturn, Self

from laneway.aio._coroutines import AnyCoroutine, close_unstarted
from laneway.aio._factory import MetadataTaskFactory
from laneway.aio._keywords import given_keywords, loop_takes_metadata, takes_metadata
from laneway.aio._metadata import TaskMetadata, TaskMetadataFields, checked

KEYWORDS = ("name", "context", "eager_start", "metadata")


def create_task[T](
    coro: AnyCoroutine[T],
    *,
    name: str | None = None,
    context: Context | None = None,
    eager_start: bool | None = None,
    metadata: TaskMetadata | TaskMetadataFields | None = None,
    **unknown: Never,
) -> Task[T]:
    """Create a task on the running loop: `asyncio.create_task`, with metadata.

    With the factory of `install_task_factory` on the loop the task carries the metadata, or else inherits
    its creator's. Another factory is handed the metadata if its signature has room for it. With no factory,
    this is `asyncio.create_task`; the metadata is checked and then dropped.

    Args:
        coro: what to run. If the call is refused, it is closed.
        name: the task's name; without one, metadata gives it one (`TaskMetadata.task_name`).
        context: the context to run in, as it is. Metadata is not written into it.
        eager_start: run the first step now. None leaves it to the factory.
        metadata: what the task is doing; a `TaskMetadata` costs no checks, a mapping is checked.
        **unknown: nothing else is taken; a misspelt keyword is refused like bad metadata is.

    Raises:
        MetadataError: the metadata was refused.
        TypeError: a keyword that does not exist (the nearest one is named), or no coroutine.
        RuntimeError: no loop is running.
    """
    try:
        if unknown:
            _refuse_keyword(next(iter(unknown)))
        if metadata is not None and type(metadata) is not TaskMetadata:
            metadata = checked(metadata)
        loop = get_running_loop()
        factory = loop.get_task_factory()
        if type(factory) is MetadataTaskFactory and factory.direct:
            return factory.spawn(loop, coro, name, context, eager_start, metadata)
        if name is None and context is None and eager_start is None and (metadata is None or factory is None):
            return loop.create_task(coro)
        return _forward(loop.create_task, loop, coro, name, context, eager_start, metadata)
    except BaseException:
        close_unstarted(coro)
        raise


class TaskGroup:
    """`asyncio.TaskGroup`, used and not subclassed, whose `create_task` takes metadata too.

    Waiting, cancellation and exception groups are asyncio's own.
    """

    __slots__ = ("_group", "_loop")

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._loop: AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._loop = get_running_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        finally:
            del kind, error, traceback  # no reference cycle through this frame

    def create_task[T](
        self,
        coro: AnyCoroutine[T],
        *,
        name: str | None = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        metadata: TaskMetadata | TaskMetadataFields | None = None,
        **unknown: Never,
    ) -> Task[T]:
        """Create a task in this group; the keywords are those of `laneway.aio.create_task`.

        Raises:
            MetadataError: the metadata was refused.
            RuntimeError: the group was not entered, is finished or is shutting down.
        """
        try:
            if unknown:
                _refuse_keyword(next(iter(unknown)))
            record = None if metadata is None else checked(metadata)
            return _forward(self._group.create_task, self._loop, coro, name, context, eager_start, record)
        except BaseException:
            close_unstarted(coro)
            raise

    def __repr__(self) -> str:
        return repr(self._group)


def _refuse_keyword(keyword: str) -> NoReturn:
    near = get_close_matches(keyword, KEYWORDS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"the keywords are {', '.join(KEYWORDS)}"
    raise TypeError(f"create_task() has no keyword {keyword!r}; {hint}")


def _forward[T](
    create: Callable[..., Task[T]],
    loop: AbstractEventLoop | None,
    coro: AnyCoroutine[T],
    name: str | None,
    context: Context | None,
    eager_start: bool | None,
    metadata: TaskMetadata | None,
) -> Task[T]:
    """Let asyncio create the task; the metadata goes along if the loop's factory takes it."""
    others: dict[str, Any] = {}
    if metadata is not None and loop is not None:
        factory = loop.get_task_factory()
        if factory is None:
            pass
        elif loop_takes_metadata(loop):
            if type(factory) is MetadataTaskFactory or takes_metadata(factory):
                others["metadata"] = metadata
        elif type(factory) is MetadataTaskFactory:
            factory.handed = metadata
            try:
                return create(coro, **given_keywords(name, context, eager_start, others))
            finally:
                factory.handed = None
    return create(coro, **given_keywords(name, context, eager_start, others))
