"""Whose metadata applies here: the context variable, and the few tasks that are outside it."""

import weakref
from asyncio import Task, current_task
from contextvars import Context, ContextVar, copy_context
from typing import Any

from laneway import _attempt
from laneway.aio._metadata import FIELDS, TaskMetadata

_CURRENT: ContextVar[TaskMetadata | None] = ContextVar("laneway.aio.metadata", default=None)

set_current = _CURRENT.set
reset_current = _CURRENT.reset
inherited_metadata = _CURRENT.get

# A task that was given both metadata and a context runs in that very context, which others may share:
# writing into it would change their metadata, and the creator's own. Such a task is pinned here instead,
# under its coroutine (known before an eager first step) and under itself. Plain dict operations on
# weak references, one at a time, are safe from any thread, with the GIL or without.
PINNED: dict[weakref.ref[object], TaskMetadata] = {}


def pin(owner: object, metadata: TaskMetadata) -> None:
    """Remember the metadata of a task (or its coroutine) that runs in a context of its creator's."""
    PINNED[weakref.ref(owner, _unpin)] = metadata


def unpin(owner: object) -> None:
    """Forget what `pin` remembered; nothing happens where it remembered nothing."""
    PINNED.pop(weakref.ref(owner), None)


def context_with(metadata: TaskMetadata) -> Context:
    """A copy of the current context in which this metadata applies."""
    context = copy_context()
    context.run(set_current, metadata)
    return context


def metadata_in(context: Context) -> TaskMetadata | None:
    """The metadata that a context carries."""
    return context.get(_CURRENT)


def _unpin(reference: weakref.ref[object]) -> None:
    PINNED.pop(reference, None)


def pinned_here() -> TaskMetadata | None:
    """The pinned metadata of the task that runs now, if it is one of the few."""
    if not PINNED:
        return None
    try:
        task = current_task()
    except RuntimeError:  # no loop runs in this thread
        return None
    return None if task is None else _pinned(task)


def _pinned(task: Task[Any]) -> TaskMetadata | None:
    metadata = PINNED.get(weakref.ref(task))
    if metadata is None:
        coro = task.get_coro()
        if coro is not None:
            metadata = PINNED.get(weakref.ref(coro))
    return metadata


def current_metadata() -> TaskMetadata | None:
    """The metadata that applies here: the running task's own, or what it inherited; None if there is none.

    It follows the context, so it is also there in callbacks, in `asyncio.to_thread` and in everything else
    that runs in a copy of the task's context.
    """
    return pinned_here() or inherited_metadata() or _of_the_attempt()


def _of_the_attempt() -> TaskMetadata | None:
    """In a worker: the metadata that came with the order of the attempt that runs here."""
    attempt = _attempt.found()
    if attempt is None:
        return None
    fields = {key: value for key, value in attempt.metadata.items() if key in FIELDS}
    return TaskMetadata.from_mapping(fields) if fields else None


def task_metadata(task: Task[Any]) -> TaskMetadata | None:
    """The metadata of any task, also of one that is done: its own, or what it inherited; None if none."""
    if PINNED:
        metadata = _pinned(task)
        if metadata is not None:
            return metadata
    return metadata_in(task.get_context())


def derived_metadata(
    *,
    operation_name: str | None = None,
    correlation_id: str | None = None,
    priority_hint: int | None = None,
) -> TaskMetadata:
    """The current metadata with some fields replaced: the way to name a sub-task and keep its correlation id.

    A task that is given metadata has exactly that; fields it leaves out are not filled in from its parent.

    Raises:
        MetadataTypeError: a value of the wrong type.
        MetadataValueError: an empty or blank text.
    """
    now = current_metadata()
    if now is not None:
        operation_name = now.operation_name if operation_name is None else operation_name
        correlation_id = now.correlation_id if correlation_id is None else correlation_id
        priority_hint = now.priority_hint if priority_hint is None else priority_hint
    return TaskMetadata(
        operation_name=operation_name, correlation_id=correlation_id, priority_hint=priority_hint
    )
