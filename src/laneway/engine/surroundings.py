"""What all runs of one engine share: the store, the lanes, the time and who wants to know."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from laneway._core.events import EventRow
from laneway.ports import Lane, Observer, Store

__all__ = ["Surroundings", "log"]

log = logging.getLogger("laneway.engine")


class Surroundings:
    """Handed to every driver. `now` gives seconds since the epoch, `spread` a number in [0, 1)."""

    __slots__ = ("lanes", "listeners", "now", "observers", "spread", "store")

    def __init__(
        self,
        store: Store,
        lanes: Mapping[str, Lane],
        *,
        now: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.lanes = lanes
        self.now = now
        self.spread = spread
        self.listeners: list[Callable[[Sequence[EventRow]], None]] = []
        self.observers: tuple[Observer, ...] = ()
        """Who is told of attempts and commits; with nobody here, observing costs nothing."""

    def tell(self, events: Sequence[EventRow]) -> None:
        """Pass committed events to all who listen. A listener that fails is reported and kept apart."""
        for listener in self.listeners:
            try:
                listener(events)
            except Exception:
                log.exception("a listener failed")
