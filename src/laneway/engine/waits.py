"""The steps of one live run that wait: for a moment, a signal, or their next attempt. They hold a timer at most."""

import asyncio
from collections.abc import Callable

from laneway._core.waiting import Waiting, ended_by_signal, ended_by_time

__all__ = ["Wait", "Waits"]

_LONGEST_TIMER = 86_400.0
"""Seconds one timer runs at most; a later moment is looked at again then, so that clocks may be set meanwhile."""

_LONG = 2.0
"""A run that only waits is laid to rest when its next moment is further away than this many seconds."""

type Woken = Callable[[int, int, tuple[str, bytes] | None], None]
"""Called with the task's index, the item and how the wait ended; None when the step is to be given to its lane."""


class Wait:
    """One step that waits."""

    __slots__ = ("due", "over_at", "timer", "value", "waiting", "woken")

    def __init__(self, value: bytes | None, due: float | None, waiting: Waiting | None, woken: Woken) -> None:
        self.value = value
        """The item of a mapped step."""
        self.due = due
        self.waiting = waiting
        """What it asked for; None when it only waits for its next attempt."""
        self.woken = woken
        self.timer: asyncio.TimerHandle | None = None
        self.over_at = float("inf")
        """The event loop's time at which a wait for some seconds is over, whatever became of the wall clock."""

    @property
    def is_span(self) -> bool:
        """Whether it waits for some seconds, rather than for a moment of the wall clock."""
        return self.waiting is None or self.waiting.again or bool(self.waiting.signal)


class Waits:
    """All waiting steps of a run, and the signals that were sent to it.

    Args:
        now: seconds since the epoch.
    """

    __slots__ = ("_listening", "_now", "_waits", "signals")

    def __init__(self, now: Callable[[], float]) -> None:
        self.signals: dict[str, bytes] = {}
        """What was sent to the run, by name; for those who ask later too."""
        self._now = now
        self._waits: dict[tuple[int, int], Wait] = {}
        self._listening: dict[str, list[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    def add(
        self,
        index: int,
        item: int,
        value: bytes | None,
        due: float | None,
        waiting: Waiting | None,
        woken: Woken,
    ) -> None:
        """Have a step wait: for what it asked for, or (`waiting` None) for its next attempt; then tell `woken`."""
        wait = self._waits[index, item] = Wait(value, due, waiting, woken)
        if waiting is not None and waiting.signal in self.signals:
            came = ended_by_signal(waiting, self.signals[waiting.signal])
            asyncio.get_running_loop().call_soon(woken, index, item, came)
        elif due is not None:
            seconds = due - self._now()
            if wait.is_span:
                wait.over_at = asyncio.get_running_loop().time() + seconds
            self._arm(wait, index, item, seconds)

    def take(self, index: int, item: int) -> Wait | None:
        """End a step's wait; None if it does not wait (any more)."""
        wait = self._waits.pop((index, item), None)
        if wait is not None and wait.timer is not None:
            wait.timer.cancel()
        return wait

    def signalled(self, name: str, value: bytes) -> None:
        """A signal came: wake whoever waits for it."""
        self.signals[name] = value
        for listener in self._listening.pop(name, ()):
            if not listener.done():
                listener.set_result(None)
        for (index, item), wait in list(self._waits.items()):
            if wait.waiting is not None and wait.waiting.signal == name:
                wait.woken(index, item, ended_by_signal(wait.waiting, value))

    async def heard(self, name: str) -> None:
        """Wait until a signal came, for a step that runs meanwhile."""
        if name not in self.signals:
            listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listening.setdefault(name, []).append(listener)
            await listener

    def stop(self) -> None:
        """Cancel all timers."""
        for wait in self._waits.values():
            if wait.timer is not None:
                wait.timer.cancel()

    def next_due(self) -> float | None:
        """The next moment that a step waits for."""
        return min((wait.due for wait in self._waits.values() if wait.due is not None), default=None)

    def are_long(self) -> bool:
        """Whether nothing can happen for a while: no moment is near, no signal that somebody waits for is there."""
        if any(wait.due is not None and self._left(wait, wait.due) < _LONG for wait in self._waits.values()):
            return False
        return not any(
            one.waiting is not None and one.waiting.signal in self.signals for one in self._waits.values()
        )

    def _left(self, wait: Wait, due: float) -> float:
        """Seconds to wait still: by the wall clock, and for spans by that or the event loop's, whichever is less."""
        return min(due - self._now(), wait.over_at - asyncio.get_running_loop().time())

    def _arm(self, wait: Wait, index: int, item: int, seconds: float) -> None:
        delay = min(max(seconds, 0.0), _LONGEST_TIMER)
        wait.timer = asyncio.get_running_loop().call_later(delay, self._due, index, item)

    def _due(self, index: int, item: int) -> None:
        wait = self._waits.get((index, item))
        if wait is None:
            return
        left = self._left(wait, wait.due or 0.0)
        if left > 0:
            self._arm(wait, index, item, left)
        else:
            wait.woken(index, item, None if wait.waiting is None else ended_by_time(wait.waiting))
