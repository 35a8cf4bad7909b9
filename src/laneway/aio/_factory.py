"""The task factory: creates tasks with metadata, tells observers, and leaves everything else as it was."""

from asyncio import AbstractEventLoop, BaseEventLoop, Task
from contextvars import Context, Token, copy_context
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from laneway.aio._coroutines import AnyCoroutine, close_unstarted
from laneway.aio._current import (
    context_with,
    inherited_metadata,
    metadata_in,
    pin,
    pinned_here,
    reset_current,
    set_current,
    unpin,
)
from laneway.aio._keywords import AnyFactory, given_keywords, names_keyword, takes_keyword
from laneway.aio._metadata import TaskMetadata, checked
from laneway.aio._observers import TaskObserver, tell_created, tell_finished


class Share(Protocol):
    """One caller's wish to have the factory on its loop."""

    @property
    def observers(self) -> tuple[TaskObserver, ...]:
        """Whom this caller wants told."""
        ...


class MetadataTaskFactory:
    """A loop's task factory, on top of the one that was there before (`beneath`).

    `observers` is replaced as a whole, never changed in place, so the loop's thread reads it without a lock.
    When nobody wants the factory any more it is `idle`: it passes everything on, and takes itself off its loop
    at the first chance (somebody may have put another factory on top of it in the meantime).
    """

    __slots__ = (
        "__weakref__",
        "_names_metadata",
        "_plain_loop",
        "_takes_context",
        "_takes_name",
        "beneath",
        "direct",
        "idle",
        "observers",
        "shares",
    )

    def __init__(self, loop: AbstractEventLoop, beneath: AnyFactory | None) -> None:
        self.beneath = beneath
        self.observers: tuple[TaskObserver, ...] = ()
        self.shares: tuple[Share, ...] = ()
        # A loop class with a create_task of its own must keep seeing the calls.
        self._plain_loop = type(loop).create_task is BaseEventLoop.create_task
        self._names_metadata = beneath is not None and names_keyword(beneath, "metadata")
        self._takes_context = beneath is None or takes_keyword(beneath, "context")
        self._takes_name = beneath is None or takes_keyword(beneath, "name")
        self.rest(idle=False)

    def rest(self, *, idle: bool) -> None:
        """Become idle, or work again; `direct` says whether `spawn` may be called without asking the loop."""
        self.idle = idle
        self.direct = self._plain_loop and not idle

    def __call__[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        metadata: object = None,
        **others: Any,
    ) -> Task[T]:
        """Create a task, as a loop asks its factory to.

        Raises:
            MetadataError: the metadata was refused, and the coroutine closed.
        """
        record: TaskMetadata | None = None
        if metadata is not None:
            try:
                record = checked(metadata)
            except BaseException:
                close_unstarted(coro)
                raise
        if self.idle:
            if loop.get_task_factory() is self:
                loop.set_task_factory(self.beneath)
            if record is not None and self._names_metadata:
                others["metadata"] = record
            return self._create(loop, coro, name, context, eager_start, others)
        if others:
            return self._spawn_beneath(loop, coro, name, context, eager_start, record, others)
        return self.spawn(loop, coro, name, context, eager_start, record)

    def spawn[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        name: object,
        context: Context | None,
        eager_start: bool | None,
        metadata: TaskMetadata | None,
    ) -> Task[T]:
        """Create a task from metadata that was checked before: the hot path."""
        if self.beneath is not None or (metadata is not None and context is not None):
            return self._spawn_beneath(loop, coro, name, context, eager_start, metadata, {})
        observers = self.observers
        started = perf_counter() if observers else 0.0
        if metadata is not None:
            if name is None:
                name = metadata.task_name() or None
            context = copy_context()
            context.run(set_current, metadata)
        elif context is None:
            if (metadata := pinned_here()) is not None:
                context = context_with(metadata)
            elif observers:
                metadata = inherited_metadata()
        elif observers:
            metadata = metadata_in(context)
        if eager_start is not None:
            task = Task(coro, loop=loop, name=name, context=context, eager_start=eager_start)
        elif context is not None:
            task = Task(coro, loop=loop, name=name, context=context)
        else:
            task = Task(coro, loop=loop, name=name)
        if observers:
            self._watch(loop, observers, task, metadata, started)
        try:
            return task
        finally:
            del task  # else the traceback of a failed eager step holds this frame, and that its task

    def _spawn_beneath[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        name: object,
        context: Context | None,
        eager_start: bool | None,
        metadata: TaskMetadata | None,
        others: dict[str, Any],
    ) -> Task[T]:
        """Create a task through the factory that was there before, and in every other unusual case."""
        started = perf_counter()
        label = metadata.task_name() if metadata is not None and name is None else ""
        if metadata is not None and self._names_metadata:
            others["metadata"] = metadata
        pinned = metadata is not None and context is not None
        token: Token[TaskMetadata | None] | None = None
        if context is None:
            inherited = inherited_metadata()
            metadata = metadata or pinned_here() or inherited
            if metadata is not None and metadata is not inherited:
                if self._takes_context:
                    context = context_with(metadata)
                else:  # an old factory: its task copies the current context
                    token = set_current(metadata)
        elif metadata is None:
            metadata = metadata_in(context)
        else:
            pin(coro, metadata)  # the first step finds it, also that of an eager start
        try:
            task = self._create(loop, coro, label if label and self._takes_name else name, context, eager_start, others)
        finally:
            if token is not None:
                reset_current(token)
        if label and not self._takes_name and hasattr(task, "set_name"):
            task.set_name(label)
        if pinned and metadata is not None:
            pin(task, metadata)
            unpin(coro)
        if self.observers:
            self._watch(loop, self.observers, task, metadata, started)
        try:
            return task
        finally:
            del task

    def _create[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        name: object,
        context: Context | None,
        eager_start: bool | None,
        others: dict[str, Any],
    ) -> Task[T]:
        """Have the task made as if this factory were not there."""
        keywords = given_keywords(name, context, eager_start, others)
        if self.beneath is None:
            return Task(coro, loop=loop, **keywords)
        task: Task[T] = self.beneath(loop, coro, **keywords)
        return task

    def _watch(
        self,
        loop: AbstractEventLoop,
        observers: tuple[TaskObserver, ...],
        task: Task[Any],
        metadata: TaskMetadata | None,
        started: float,
    ) -> None:
        tell_created(loop, observers, task, metadata)
        if task.done():  # an eager start that came to its end
            self._finished(loop, observers, metadata, started, task)
        else:
            task.add_done_callback(partial(self._finished, loop, observers, metadata, started))

    def _finished(
        self,
        loop: AbstractEventLoop,
        observers: tuple[TaskObserver, ...],
        metadata: TaskMetadata | None,
        started: float,
        task: Task[Any],
    ) -> None:
        seconds = perf_counter() - started
        now = self.observers
        if observers is not now:  # some were added, or removed, meanwhile
            observers = tuple(one for one in observers if any(one is other for other in now))
        tell_finished(loop, observers, task, metadata, seconds)
