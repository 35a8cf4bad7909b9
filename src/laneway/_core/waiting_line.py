"""Who goes next: keys take turns, within a key higher priority goes first, and waiting makes up for priority. Pure."""

import heapq
from itertools import count

__all__ = ["AGEING", "WaitingLine"]

AGEING = 10.0
"""Seconds of waiting that weigh as much as one step of priority, so that nothing starves."""


class WaitingLine:
    """Tickets in line. All age alike, so that their order never changes while they wait.

    A ticket's rank is the time it came, less `ageing` seconds for each step of its priority; equal ranks go in the
    order they came. Keys that wait take turns, one ticket each, whatever the priorities of the others.
    """

    def __init__(self, *, ageing: float = AGEING) -> None:
        self._ageing = ageing
        self._live: dict[int, str] = {}
        self._heaps: dict[str, list[tuple[float, int, int]]] = {}
        self._turns: list[tuple[int, int, str]] = []
        """(turns had, order, key) of each key that waits."""
        self._turn = 0
        self._order = count()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._live

    def add(self, ticket: int, *, priority: int = 0, now: float = 0.0, key: str = "") -> None:
        """Put a ticket in line."""
        self._live[ticket] = key
        heap = self._heaps.get(key)
        if heap is None:
            heap = self._heaps[key] = []
            heapq.heappush(self._turns, (self._turn, next(self._order), key))
        heapq.heappush(heap, (now - priority * self._ageing, next(self._order), ticket))

    def discard(self, ticket: int) -> bool:
        """Take a ticket out of the line; False if it is not there."""
        return self._live.pop(ticket, None) is not None

    def first(self) -> int | None:
        """The ticket whose turn it is, or None."""
        while self._turns:
            heap = self._heaps[self._turns[0][2]]
            while heap and heap[0][2] not in self._live:
                heapq.heappop(heap)
            if heap:
                return heap[0][2]
            del self._heaps[heapq.heappop(self._turns)[2]]
        return None

    def pop(self) -> int | None:
        """Take the ticket whose turn it is out of the line."""
        ticket = self.first()
        if ticket is None:
            return None
        had, _, key = self._turns[0]
        heapq.heappop(self._heaps[key])
        del self._live[ticket]
        self._turn = had
        if len(self._turns) > 1 or not self._heaps[key]:
            heapq.heappop(self._turns)
            if self._heaps[key]:
                heapq.heappush(self._turns, (had + 1, next(self._order), key))
            else:
                del self._heaps[key]
        return ticket
