"""One order on its way through a worker, as the engine sees it."""

import asyncio

from laneway.ports import Outcome, StepOrder

__all__ = ["Flight"]


class Flight:
    """An order between its hand-over to a pool and its outcome."""

    __slots__ = (
        "begun",
        "crashed",
        "expect",
        "expired",
        "future",
        "lane",
        "limit",
        "number",
        "order",
        "over",
        "rung",
        "timer",
        "unwanted",
        "worker",
    )

    def __init__(self, order: StepOrder | None, future: asyncio.Future[Outcome], lane: str) -> None:
        self.order = order
        """None for a question about the unit's tasks."""
        self.future = future
        self.lane = lane
        self.number = 0
        self.limit: float | None = None
        """Seconds of wall time it may take."""
        self.expect = 0.0
        """Seconds it will probably take."""
        self.begun = 0.0
        """Loop time when it became the head of its worker's queue."""
        self.worker: object | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.rung = ""
        """How far the stopping ladder was climbed for it."""
        self.expired = False
        """True once it was over its time limit."""
        self.unwanted = False
        """True once nobody waits for it any more."""
        self.crashed = False
        """True when its worker died while it ran, together with others that may have been the cause."""
        self.over: asyncio.Future[None] | None = None
        """Set where somebody waits for the attempt's end rather than for its outcome."""

    def end(self) -> None:
        """No time limit runs any more, and whoever waits for the end may go on."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.over is not None and not self.over.done():
            self.over.set_result(None)
