"""What a pool decides: who holds how much, who is next, and when. Pure: the time is told."""

from collections import deque
from math import fsum
from typing import Literal, NamedTuple

from laneway._core.errors import LanewayError
from laneway._core.waiting_line import AGEING, WaitingLine

__all__ = ["Kind", "PoolBook", "PoolReport", "PoolTooSmall"]

type Kind = Literal["slots", "rate", "budget"]


class PoolTooSmall(LanewayError):
    """More was asked of a pool than all of it."""

    code = "LW-POOL-001"
    template = "pool {pool!r} can give {capacity:g} at most, and {amount:g} was asked of it. Ask for less or resize it."


class PoolReport(NamedTuple):
    """A pool at one moment."""

    name: str
    kind: Kind
    capacity: float
    per: float
    """Seconds of a rate's period; 0 for other kinds."""
    used: float
    holders: int
    waiting: int
    longest: float
    """Seconds the oldest of those who wait has waited."""
    granted: int
    """How often the pool was given since it was made."""


class PoolBook:
    """One pool's state. Tickets are numbers that the caller makes up, each used once.

    `slots` and `budget` are given back; a rate is used up: at most `capacity` within any `per` seconds. Whoever is
    first in line is served first, however little those behind ask for.
    """

    def __init__(
        self, name: str, kind: Kind, capacity: float, per: float = 0.0, *, ageing: float = AGEING
    ) -> None:
        self.name = name
        self.kind: Kind = kind
        self.capacity = capacity
        self.per = per
        self.granted = 0
        self.used = 0.0
        self._held: dict[int, float] = {}
        self._asked: dict[int, tuple[float, float]] = {}
        self._recent: deque[tuple[float, float]] = deque()
        """Of a rate: (when, how much), as far as it still counts."""
        self._line = WaitingLine(ageing=ageing)

    def ask(self, ticket: int, amount: float, now: float, *, priority: int = 0, key: str = "") -> bool:
        """Ask for some of the pool; True if it is given at once, else the ticket waits.

        Raises:
            PoolTooSmall: there will never be as much.
        """
        if amount > self.capacity:
            raise PoolTooSmall(pool=self.name, capacity=self.capacity, amount=amount)
        if not self._asked and self._fits(amount, now):
            self._give(ticket, amount, now)
            return True
        self._asked[ticket] = (amount, now)
        self._line.add(ticket, priority=priority, now=now, key=key)
        return False

    def release(self, ticket: int) -> bool:
        """Give back what a ticket holds, or take it out of the line; False if it is not known (any more)."""
        held = self._held.pop(ticket, None)
        if held is not None:
            if self.kind != "rate":
                self.used = fsum(self._held.values()) if self.kind == "budget" else float(len(self._held))
            return True
        self._line.discard(ticket)
        return self._asked.pop(ticket, None) is not None

    def grant(self, now: float) -> list[int]:
        """Give to those in line what there is; the tickets that were served."""
        served: list[int] = []
        while (ticket := self._line.first()) is not None:
            amount = self._asked[ticket][0]
            if not self._fits(amount, now):
                break
            self._line.pop()
            del self._asked[ticket]
            self._give(ticket, amount, now)
            served.append(ticket)
        return served

    def resize(self, capacity: float) -> list[int]:
        """Change the capacity; tickets that ask for more than all of it leave the line and are returned.

        What is held stays held: after shrinking, nothing is given until enough came back.
        """
        self.capacity = capacity
        lost = [ticket for ticket, (amount, _) in self._asked.items() if amount > capacity]
        for ticket in lost:
            self.release(ticket)
        return lost

    def next_grant(self, now: float) -> float | None:
        """Of a rate: seconds until the first in line can be served; None if nobody waits."""
        first = self._line.first()
        if self.kind != "rate" or first is None:
            return None
        self._forget(now)
        short = self._asked[first][0] + sum(amount for _, amount in self._recent) - self.capacity
        for when, amount in self._recent:
            short -= amount
            if short <= _CRUMB:
                return max(0.0, when + self.per - now)
        return 0.0

    def report(self, now: float) -> PoolReport:
        """The pool right now."""
        if self.kind == "rate":
            self._forget(now)
        longest = max((now - since for _, since in self._asked.values()), default=0.0)
        return PoolReport(
            self.name,
            self.kind,
            self.capacity,
            self.per,
            self.used,
            len(self._held),
            len(self._asked),
            max(longest, 0.0),
            self.granted,
        )

    def _fits(self, amount: float, now: float) -> bool:
        if self.kind == "rate":
            self._forget(now)
        return self.used + amount <= self.capacity + _CRUMB

    def _give(self, ticket: int, amount: float, now: float) -> None:
        self._held[ticket] = amount
        self.used += amount
        self.granted += 1
        if self.kind == "rate":
            self._recent.append((now, amount))

    def _forget(self, now: float) -> None:
        recent = self._recent
        while recent and recent[0][0] + self.per <= now:
            self.used -= recent.popleft()[1]
        if not recent:
            self.used = 0.0


_CRUMB = 1e-9
"""What fractions may be off by."""
