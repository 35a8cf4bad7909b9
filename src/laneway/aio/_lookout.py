"""Telling of the ends of short tasks together: a callback through the loop for each would cost more than the task."""

from asyncio import AbstractEventLoop
from contextvars import Context
from time import perf_counter
from typing import Any

from laneway.aio._observers import New, Watch, tell_ended


class Lookout:
    """Looks after the tasks that were just created on one loop, without a done callback on each.

    A loop calls back in the order in which it was asked to. So each look at a task is either after its latest step,
    or asks for the next look before that step: in both cases a look comes ahead of whatever the task's end causes.
    Those that are over are told of in one go. Those that still go on at the third look, most of which wait for the
    outside world, get a done callback after all.
    """

    __slots__ = ("_context", "_loop", "_second", "_third", "is_asked", "new")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._context = Context()
        self.is_asked = False
        self.new: list[New] = []
        """Tasks whose first step is still to come; who adds one sees to it that a look is asked for."""
        self._second: list[New] = []
        self._third: list[New] = []

    def ask(self) -> None:
        """Ask for a look, on the loop's thread."""
        self.is_asked = True
        self._loop.call_soon(self.look, context=self._context)

    def look(self) -> None:
        """Tell of those that are over, and ask to look again if there are others."""
        third, second, first = self._third, self._second, self.new
        self._third, self._second, self.new = [], [], []  # an observer may create tasks
        now = perf_counter()
        try:
            if first:
                self._second = tell_ended(first, now)
            if second:
                self._third = tell_ended(second, now)
            if third:
                for new in tell_ended(third, now):
                    _follow(new)
        finally:
            if self._second or self._third or self.new:
                self.ask()
            else:
                self.is_asked = False


def _follow(new: New) -> None:
    """Leave the rest to a done callback, ahead of those that were added meanwhile: who awaits is told last."""
    task, metadata, audience, started = new
    others: list[tuple[Any, Context]] = list(task._callbacks or ())
    for callback, _ in others:
        task.remove_done_callback(callback)
    task.add_done_callback(Watch(audience, metadata, started))
    for callback, context in others:
        task.add_done_callback(callback, context=context)
