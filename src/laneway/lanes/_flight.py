"""One order on its way through a worker, as the engine sees it."""

import asyncio
from typing import Any

import msgspec

from laneway.ports import Outcome, StepOrder

__all__ = ["Flight"]


class Flight(msgspec.Struct, eq=False):
    """An order between its hand-over to a pool and its outcome. A struct because it is made for every attempt."""

    order: StepOrder | None
    """None for a question about the unit's tasks."""
    future: asyncio.Future[Outcome]
    lane: str
    number: int = 0
    limit: float | None = None
    """Seconds of wall time it may take."""
    expect: float = 0.0
    """Seconds it will probably take."""
    begun: float = 0.0
    """Loop time when it became the head of its worker's queue; 0 before."""
    worker: Any = None
    """The `Worker` that has it."""
    timer: asyncio.TimerHandle | None = None
    rung: str = ""
    """How far the stopping ladder was climbed for it."""
    expired: bool = False
    """True once it was over its time limit."""
    unwanted: bool = False
    """True once nobody waits for it any more."""
    crashed: bool = False
    """True when its worker died while it ran, together with others that may have been the cause."""
    has_ended: bool = False
    """True once nothing of it goes on: it was answered, or given up before a worker began it."""
    over: asyncio.Future[None] | None = None
    """Set where somebody waits for the attempt's end rather than for its outcome."""

    def end(self) -> None:
        """No time limit runs any more, and whoever waits for the end may go on."""
        self.has_ended = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.over is not None and not self.over.done():
            self.over.set_result(None)
