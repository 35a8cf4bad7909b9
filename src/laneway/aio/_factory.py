"""The task factory: creates tasks with metadata, tells observers, and leaves everything else as it was."""

from asyncio import AbstractEventLoop, BaseEventLoop, CancelledError, Task
from contextvars import Context, Token, copy_context
from time import perf_counter
from typing import Any, Protocol

from laneway.aio._coroutines import AnyCoroutine, close_unstarted
from laneway.aio._current import (
    PINNED,
    context_with,
    inherited_metadata,
    metadata_in,
    pin,
    pinned_here,
    reset_current,
    set_current,
    unpin,
)
from laneway.aio._keywords import (
    AnyFactory,
    given_keywords,
    loop_takes_metadata,
    names_keyword,
    takes_keyword,
)
from laneway.aio._lookout import Lookout
from laneway.aio._metadata import TaskMetadata, TaskMetadataFields, checked
from laneway.aio._observers import Audience, TaskObserver, Watch, report, tell_ended


class Share(Protocol):
    """One caller's wish to have the factory on its loop."""

    @property
    def observers(self) -> tuple[TaskObserver, ...]:
        """Whom this caller wants told."""
        ...


class MetadataTaskFactory:
    """A loop's task factory, on top of the one that was there before (`beneath`).

    `audience` is replaced as a whole, never changed in place, so the loop's thread reads it without a lock.
    When nobody wants the factory any more it is `idle`: it passes everything on, and takes itself off its loop
    at the first chance (somebody may have put another factory on top of it in the meantime).
    """

    __slots__ = (
        "__weakref__",
        "_lookout",
        "_names_metadata",
        "_plain_loop",
        "_takes_context",
        "_takes_name",
        "audience",
        "beneath",
        "direct",
        "handed",
        "idle",
        "shares",
    )

    def __init__(self, loop: AbstractEventLoop, beneath: AnyFactory | None) -> None:
        self.beneath = beneath
        self.audience = Audience()
        self.shares: tuple[Share, ...] = ()
        self._lookout = Lookout(loop)
        # A loop class with a create_task of its own keeps seeing the calls, unless it refuses metadata.
        self._plain_loop = type(loop).create_task is BaseEventLoop.create_task or not loop_takes_metadata(
            loop
        )
        self.handed: TaskMetadata | None = None
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
        name: str | None = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        metadata: TaskMetadata | TaskMetadataFields | None = None,
        **others: Any,
    ) -> Task[T]:
        """Create a task, as a loop asks its factory to.

        Raises:
            MetadataError: the metadata was refused, and the coroutine closed.
        """
        record = self.handed
        if record is not None:
            self.handed = None
        elif metadata is not None:
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
        name: str | None,
        context: Context | None,
        eager_start: bool | None,
        metadata: TaskMetadata | None,
    ) -> Task[T]:
        """Create a task from metadata that was checked before: the hot path."""
        if self.beneath is not None or (metadata is not None and context is not None):
            return self._spawn_beneath(loop, coro, name, context, eager_start, metadata, {})
        audience = self.audience
        created = audience.created
        started = perf_counter() if created else 0.0
        token: Token[TaskMetadata | None] | None = None
        if metadata is not None:
            if name is None:
                name = metadata.cached_task_name or metadata.task_name() or None
            if eager_start:  # the first step runs at once: it must not see its creator's context changed
                context = copy_context()
                context.run(set_current, metadata)
            else:  # the task copies the current context, which is cheaper changed for a moment than copied here
                token = set_current(metadata)
        elif context is not None:
            metadata = metadata_in(context)
        elif PINNED and (metadata := pinned_here()) is not None:
            context = context_with(metadata)
        elif created:
            metadata = inherited_metadata()
        try:
            if eager_start is not None:
                task = Task(coro, loop=loop, name=name, context=context, eager_start=eager_start)
            elif context is not None:
                task = Task(coro, loop=loop, name=name, context=context)
            else:
                task = Task(coro, loop=loop, name=name)
        finally:
            if token is not None:
                reset_current(token)
        if created:
            for tell in created:
                try:
                    tell(task, metadata)
                except (Exception, CancelledError) as error:  # noqa: BLE001  # a stranger's code; reported
                    report(tell, task, error)
            if not eager_start:
                lookout = self._lookout
                lookout.new.append((task, metadata, audience, started))
                if not lookout.is_asked:
                    lookout.ask()
            elif task.done():
                tell_ended(((task, metadata, audience, started),), perf_counter())
            else:
                task.add_done_callback(Watch(audience, metadata, started))
        try:
            return task
        finally:
            del task  # else the traceback of a failed eager step holds this frame, and that its task

    def _spawn_beneath[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        name: str | None,
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
            task = self._create(
                loop, coro, label if label and self._takes_name else name, context, eager_start, others
            )
        finally:
            if token is not None:
                reset_current(token)
        if label and not self._takes_name and hasattr(task, "set_name"):
            task.set_name(label)
        if pinned and metadata is not None:
            pin(task, metadata)
            unpin(coro)
        if self.audience.created:
            Watch(self.audience, metadata, started).begin(task)
        try:
            return task
        finally:
            del task

    def _create[T](
        self,
        loop: AbstractEventLoop,
        coro: AnyCoroutine[T],
        name: str | None,
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
