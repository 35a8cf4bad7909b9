"""Who is told about tasks: the `TaskObserver` protocol, and how observers are called without harm."""

from asyncio import AbstractEventLoop, CancelledError, Task
from typing import Any, Literal, Protocol, runtime_checkable

from laneway.aio._metadata import TaskMetadata

type TaskOutcome = Literal["succeeded", "failed", "cancelled"]


@runtime_checkable
class TaskObserver(Protocol):
    """Told about every task that is created on a loop while a factory with this observer is installed.

    Both methods are called on the loop's thread and should be quick. What they raise goes to the loop's
    exception handler and nowhere else. An observer that saw a task's creation sees its end once, unless
    it is removed, or the loop is closed, before that.
    """

    def created(self, task: Task[Any], metadata: TaskMetadata | None, /) -> None:
        """`task` was created. With an eager start its first step has already run."""

    def finished(
        self, task: Task[Any], metadata: TaskMetadata | None, outcome: TaskOutcome, seconds: float, /
    ) -> None:
        """`task` is done, `seconds` after it was asked for."""


def outcome_of(task: Task[Any]) -> TaskOutcome:
    """How a task that is done ended.

    `Task.exception()` would mark the exception as retrieved and silence asyncio's report of a failure that
    nobody looked at, so the attribute behind it is read: part of the protocol that `asyncio.isfuture`
    describes, on the C and the Python implementation.
    """
    if task.cancelled():
        return "cancelled"
    return "succeeded" if task._exception is None else "failed"  # type: ignore[attr-defined]


def tell_created(
    loop: AbstractEventLoop,
    observers: tuple[TaskObserver, ...],
    task: Task[Any],
    metadata: TaskMetadata | None,
) -> None:
    """Call `created` of each observer; what they raise is reported to the loop."""
    for observer in observers:
        try:
            observer.created(task, metadata)
        except (Exception, CancelledError) as error:
            _report(loop, observer, "created", task, error)


def tell_finished(
    loop: AbstractEventLoop,
    observers: tuple[TaskObserver, ...],
    task: Task[Any],
    metadata: TaskMetadata | None,
    seconds: float,
) -> None:
    """Call `finished` of each observer; what they raise is reported to the loop."""
    outcome = outcome_of(task)
    for observer in observers:
        try:
            observer.finished(task, metadata, outcome, seconds)
        except (Exception, CancelledError) as error:
            _report(loop, observer, "finished", task, error)


def _report(
    loop: AbstractEventLoop, observer: TaskObserver, method: str, task: Task[Any], error: BaseException
) -> None:
    loop.call_exception_handler(
        {
            "message": f"task observer {observer!r} failed in {method}()",
            "exception": error,
            "task": task,
        }
    )
