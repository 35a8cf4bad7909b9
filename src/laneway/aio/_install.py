"""Putting the task factory on a loop and taking it off again, shared by everyone who wants it there."""

import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from laneway.aio._factory import MetadataTaskFactory
from laneway.aio._observers import Audience, TaskObserver

_CHANGES = threading.Lock()  # installing and removing, from any thread


class TaskFactoryInstallation:
    """One caller's share in the task factory of a loop; a context manager that removes it.

    Attributes:
        loop: the loop it was installed on.
        observers: this caller's observers.
    """

    __slots__ = ("_factory", "loop", "observers")

    def __init__(
        self, loop: AbstractEventLoop, factory: MetadataTaskFactory, observers: tuple[TaskObserver, ...]
    ) -> None:
        self.loop = loop
        self.observers = observers
        self._factory: MetadataTaskFactory | None = factory

    @property
    def installed(self) -> bool:
        """Whether it was not removed yet."""
        return self._factory is not None

    def remove(self) -> None:
        """Stop telling these observers; with the last share on the loop, restore the factory from before.

        If somebody has put another factory on top since, the loop is left as it is: the factory stays in
        that chain, passes everything on, and leaves the loop when it comes out on top again. Tasks that are
        running go on, keep their metadata, and are no longer reported. Calling it again does nothing.
        """
        with _CHANGES:
            factory, self._factory = self._factory, None
            if factory is None:
                return
            factory.shares = tuple(share for share in factory.shares if share is not self)
            _settle(self.loop, factory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        state = "installed on" if self.installed else "removed from"
        return f"<TaskFactoryInstallation {state} {self.loop!r}>"


def install_task_factory(
    loop: AbstractEventLoop | None = None, observers: Iterable[TaskObserver] = ()
) -> TaskFactoryInstallation:
    """Install the task factory on a loop (the running one by default), for as long as the result is not removed.

    From then on tasks carry metadata, and `observers` are told about every task that is created on the loop
    by whatever way. The factory that is there already (an eager one, another library's) keeps making the
    tasks. Several callers may install on one loop: they share one factory, each with its own observers, and
    the last one to remove restores what was there before the first. An observer that several callers bring
    is told once.

    Raises:
        TypeError: an observer has no `created` or no `finished`, or the loop has no task factories.
        RuntimeError: no loop was given and none is running.
    """
    loop = get_running_loop() if loop is None else loop
    wanted = tuple(observers)
    for observer in wanted:
        _check_observer(observer)
    with _CHANGES:
        try:
            top = loop.get_task_factory()
        except (AttributeError, NotImplementedError) as error:
            raise TypeError(
                f"{loop!r} has no task factories, so tasks on it cannot carry metadata"
            ) from error
        factory = top if isinstance(top, MetadataTaskFactory) else MetadataTaskFactory(loop, top)
        installation = TaskFactoryInstallation(loop, factory, wanted)
        factory.shares = (*factory.shares, installation)
        _settle(loop, factory)
        if factory is not top:
            loop.set_task_factory(factory)
    return installation


def _check_observer(observer: object) -> None:
    if not isinstance(observer, TaskObserver):
        raise TypeError(f"{observer!r} is no task observer: it needs the methods created and finished")


def _settle(loop: AbstractEventLoop, factory: MetadataTaskFactory) -> None:
    """Make the factory tell exactly the observers of its shares, or leave the loop when there are none."""
    before = factory.audience
    factory.audience = Audience(one for share in factory.shares for one in share.observers)
    before.followed_by = factory.audience
    factory.rest(idle=not factory.shares)
    if factory.idle and loop.get_task_factory() is factory:
        loop.set_task_factory(factory.beneath)
