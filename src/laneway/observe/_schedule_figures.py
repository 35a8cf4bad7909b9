"""What a scheduler did, taken from what it wrote: a book of schedules that counts."""

from typing import Any

from laneway._core.jobs import OPEN, Change, Lead, NotLeading
from laneway.observe._distributions import SECONDS_LONG, Distribution
from laneway.ports import EngineCard

__all__ = ["CountingBook", "ScheduleFigures"]


class ScheduleFigures:
    """Counts of one engine. They move when what they count is durable."""

    def __init__(self) -> None:
        self.leads: bool | None = None
        """Whether this engine schedules; None where it never tried to."""
        self.running: set[str] = set()
        self.ended: dict[str, int] = {}
        """Due moments that were seen to their end, by how."""
        self.missed = 0
        self.lateness = Distribution(SECONDS_LONG)

    def written(self, change: Change) -> None:
        """Count what the engine that leads has written."""
        for move in change.moves:
            self.missed += move.missed
        for firing in change.settle:
            if firing.status in OPEN:
                self.running.add(firing.key)
                continue
            self.running.discard(firing.key)
            self.ended[firing.status] = self.ended.get(firing.status, 0) + 1
            if firing.why == "due" and firing.started is not None:
                self.lateness.add(max((firing.started - firing.due).total_seconds(), 0.0))

    def resigned(self) -> None:
        """Another engine schedules now, or nobody."""
        self.leads = False
        self.running.clear()


class CountingBook:
    """A store's book of schedules as the scheduler uses it (`ScheduleBook`), with what is written counted.

    Args:
        book: the store's.
        figures: where it is counted.
    """

    def __init__(self, book: Any, figures: ScheduleFigures) -> None:
        self._book = book
        self._figures = figures

    async def lead(self, card: EngineCard, *, seconds: float | None) -> Lead:
        """Take or extend the lead."""
        found: Lead = await self._book.lead(card, seconds=seconds)
        if found.mine:
            self._figures.leads = True
        else:
            self._figures.resigned()
        return found

    async def leave(self, card: EngineCard) -> None:
        """Give the lead up."""
        await self._book.leave(card)
        self._figures.resigned()

    async def write(self, change: Change, *, term: int | None = None) -> None:
        """Write a change; those of the engine that leads are counted."""
        try:
            await self._book.write(change, term=term)
        except NotLeading:
            self._figures.resigned()
            raise
        if term is not None:
            self._figures.written(change)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)
