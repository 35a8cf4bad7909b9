"""`Gate`: so many at once, and of those who wait the right one next. For the engine's own queues, on one event loop."""

import asyncio
from collections.abc import Callable
from itertools import count

from laneway._core.waiting_line import AGEING, WaitingLine

__all__ = ["Gate"]


class Gate:
    """A semaphore whose waiters go by priority, with ageing, keys taking turns. Cancelling a wait leaves the line."""

    __slots__ = ("_line", "_tickets", "_waiting", "inside", "size")

    def __init__(self, size: int, *, ageing: float = AGEING) -> None:
        self.size = size
        self.inside = 0
        self._line = WaitingLine(ageing=ageing)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._tickets = count(1)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def locked(self) -> bool:
        """Whether somebody who came now would have to wait."""
        return self.inside >= self.size or bool(self._waiting)

    async def acquire(
        self, *, priority: int = 0, key: str = "", ticketed: Callable[[int], None] | None = None
    ) -> None:
        """Go in, when it is one's turn. Who has to wait is told the ticket first."""
        if self.inside < self.size and not self._waiting:
            self.inside += 1
            return
        loop = asyncio.get_running_loop()
        ticket, future = next(self._tickets), loop.create_future()
        self._line.add(ticket, priority=priority, now=loop.time(), key=key)
        self._waiting[ticket] = future
        try:
            if ticketed is not None:
                ticketed(ticket)
            await future
        except BaseException:
            if future.done() and not future.cancelled():  # let in, and cancelled in the same moment
                self.inside -= 1
            else:
                self._waiting.pop(ticket, None)
                self._line.discard(ticket)
            self.admit()
            raise

    def release(self) -> None:
        """Leave."""
        self.inside -= 1
        if self._waiting:
            self.admit()

    def is_waiting(self, ticket: int) -> bool:
        """Whether whoever has that ticket was not let in yet."""
        return ticket in self._waiting

    def insist(self, ticket: int) -> None:
        """Let in one who waits, whether there is room or not."""
        future = self._waiting.pop(ticket, None)
        if future is None:
            return
        self._line.discard(ticket)
        if not future.done():
            self.inside += 1
            future.set_result(None)

    def admit(self) -> None:
        """Let in whoever fits; called by itself, and after `size` was changed."""
        while self.inside < self.size:
            ticket = self._line.pop()
            if ticket is None:
                return
            future = self._waiting.pop(ticket)
            if not future.done():  # else its wait was cancelled, and it was not told yet
                self.inside += 1
                future.set_result(None)
