"""Who is told about tasks: the `TaskObserver` protocol, and how observers are called without harm."""

from asyncio import CancelledError, Task
from collections.abc import Callable, Iterable
from time import perf_counter
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


class Audience:
    """The observers of one factory at one time; never changed, only followed by another one.

    The methods are looked up once, here: looking them up for every task would be felt.
    """

    __slots__ = ("created", "finished", "followed_by", "observers")

    def __init__(self, observers: Iterable[TaskObserver] = ()) -> None:
        self.observers = tuple({id(observer): observer for observer in observers}.values())
        self.created: tuple[Callable[[Task[Any], TaskMetadata | None], None], ...]
        self.created = tuple(observer.created for observer in self.observers)
        self.finished: tuple[Callable[[Task[Any], TaskMetadata | None, TaskOutcome, float], None], ...] = (
            tuple(observer.finished for observer in self.observers)
        )
        self.followed_by: Audience | None = None

    def remaining(self) -> Audience:
        """Those who are still here: who came later has not seen the task begin and must not see it end."""
        latest = self
        while latest.followed_by is not None:
            latest = latest.followed_by
        return Audience(one for one in self.observers if any(one is other for other in latest.observers))


type New = tuple[Task[Any], TaskMetadata | None, Audience, float]
"""A task under observation, its metadata, who is told, and when it was asked for."""


class Watch:
    """One task under observation: the done callback that tells its audience."""

    __slots__ = ("_audience", "_metadata", "_started")

    def __init__(self, audience: Audience, metadata: TaskMetadata | None, started: float) -> None:
        self._audience = audience
        self._metadata = metadata
        self._started = started

    def begin(self, task: Task[Any]) -> None:
        """Tell that the task was created, and see to it that its end is told."""
        metadata = self._metadata
        for tell in self._audience.created:
            try:
                tell(task, metadata)
            except (Exception, CancelledError) as error:  # noqa: BLE001  # a stranger's code; reported
                report(tell, task, error)
        if task.done():  # an eager start that came to its end
            self(task)
        else:
            task.add_done_callback(self)

    def __call__(self, task: Task[Any]) -> None:
        """Tell that the task is done."""
        tell_ended(((task, self._metadata, self._audience, self._started),), perf_counter())


def tell_ended(watched: Iterable[New], now: float) -> list[New]:
    """Tell of each task that is done by now, and return the others.

    `Task.exception()` would mark the exception as retrieved and silence asyncio's report of a failure that nobody
    looked at. So the attribute behind it is read, which the C and the Python implementation share.
    """
    others: list[New] = []
    outcome: TaskOutcome
    for new in watched:
        task, metadata, audience, started = new
        if not task.done():
            others.append(new)
            continue
        if task._exception is not None:
            outcome = "failed"
        else:
            outcome = "cancelled" if task.cancelled() else "succeeded"
        if audience.followed_by is not None:
            audience = audience.remaining()
        for tell in audience.finished:
            try:
                tell(task, metadata, outcome, now - started)
            except (Exception, CancelledError) as error:  # noqa: BLE001  # a stranger's code; reported
                report(tell, task, error)
    return others


def report(tell: object, task: Task[Any], error: BaseException) -> None:
    """Leave what an observer raised to the loop's exception handler."""
    task.get_loop().call_exception_handler(
        {"message": f"a task observer failed: {tell!r}", "exception": error, "task": task}
    )
