"""`Gate`: so many at once, and of those who wait the right one next. For the engine's own queues, on one event loop."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

from laneway._core.errors import Backpressure
from laneway._core.waiting_line import AGEING, WaitingLine
from laneway.engine.limits import Limit, value_of

__all__ = ["Gate", "RunLimits"]


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

    async def acquire(self, *, priority: int = 0, key: str = "") -> None:
        """Go in, when it is one's turn."""
        if self.inside < self.size and not self._waiting:
            self.inside += 1
            return
        loop = asyncio.get_running_loop()
        ticket, future = next(self._tickets), loop.create_future()
        self._line.add(ticket, priority=priority, now=loop.time(), key=key)
        self._waiting[ticket] = future
        try:
            await future
        except BaseException:
            if self._waiting.pop(ticket, None) is None:  # let in, and cancelled in the same moment
                self.inside -= 1
            else:
                self._line.discard(ticket)
            self.admit()
            raise

    def release(self) -> None:
        """Leave."""
        self.inside -= 1
        if self._waiting:
            self.admit()

    def admit(self) -> None:
        """Let in whoever fits; called by itself, and after `size` was changed."""
        while self.inside < self.size:
            ticket = self._line.pop()
            if ticket is None:
                return
            self.inside += 1
            future = self._waiting.pop(ticket)
            if future.done():
                self.inside -= 1
            else:
                future.set_result(None)


class RunLimits:
    """Lets runs in, so many at once of each limited workflow and of each value of a limited context key."""

    def __init__(self, limits: list[Limit]) -> None:
        self._limits = sorted(
            limits, key=lambda one: one.kind != "key"
        )  # whoever waits for a key holds nothing else
        self._gates: dict[tuple[str, str], Gate] = {}

    async def enter(
        self, workflow: str, context: Mapping[str, bytes], *, wait: bool, priority: int
    ) -> Callable[[], None]:
        """Wait until the run may begin; returns what to call at its end.

        Raises:
            Backpressure: it may not yet, and `wait` is False.
        """
        inside: list[tuple[tuple[str, str], Gate]] = []

        def leave() -> None:
            while inside:
                place, gate = inside.pop()
                gate.release()
                if not gate.inside and not gate.waiting:
                    self._gates.pop(place, None)

        try:
            for limit in self._limits:
                value = workflow if limit.kind == "workflow" else value_of(context, limit.name)
                if value is None or (limit.kind == "workflow" and value != limit.name):
                    continue
                place = (f"{limit.kind}:{limit.name}", value)
                gate = self._gates.get(place)
                if gate is None:
                    gate = self._gates[place] = Gate(limit.most)
                if gate.locked() and not wait:
                    raise Backpressure(waiting=gate.inside, limit=limit.most)
                await gate.acquire(priority=priority)
                inside.append((place, gate))
        except BaseException:
            leave()
            raise
        return leave
