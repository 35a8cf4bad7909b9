"""What all runs of one engine share: the store, the lanes, the time and who wants to know."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from laneway._core.events import EventRow
from laneway._core.records import Transition
from laneway.engine.artifacts import Artifacts
from laneway.engine.limits import NESTED
from laneway.ports import Lane, LiveRun, Observer, Outcome, StepOrder, Store

__all__ = ["Surroundings", "log"]

log = logging.getLogger("laneway.engine")


class Surroundings:
    """Handed to every driver. `now` gives seconds since the epoch, `spread` a number in [0, 1)."""

    __slots__ = (
        "_observers",
        "artifacts",
        "inner",
        "lanes",
        "listeners",
        "now",
        "on_attempt",
        "on_commit",
        "on_notable",
        "on_outcome",
        "spread",
        "store",
    )

    def __init__(
        self,
        store: Store,
        lanes: Mapping[str, Lane],
        artifacts: Artifacts | None = None,
        *,
        now: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.lanes = lanes
        self.inner = lanes.get(NESTED)
        self.artifacts = Artifacts(None) if artifacts is None else artifacts
        self.now = now
        self.spread = spread
        self.listeners: list[Callable[[Sequence[EventRow]], None]] = []
        self._observers: tuple[Observer, ...] = ()
        self.on_attempt: tuple[Callable[[LiveRun, StepOrder], StepOrder], ...] = ()
        self.on_outcome: tuple[Callable[[LiveRun, StepOrder, Outcome], Outcome], ...] = ()
        """For every attempt."""
        self.on_notable: tuple[Callable[[LiveRun, StepOrder, Outcome], Outcome], ...] = ()
        """Instead, for those that failed, printed or were refused something."""
        self.on_commit: tuple[Callable[[LiveRun, Transition, float], None], ...] = ()

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who is told of runs, attempts and commits; with nobody here, observing costs nothing."""
        return self._observers

    @observers.setter
    def observers(self, observers: tuple[Observer, ...]) -> None:
        # What is told of every step goes only to those who want it: most watch one end of an attempt.
        self._observers = observers
        self.on_attempt = tuple(
            one.attempt_started
            for one in observers
            if type(one).attempt_started is not Observer.attempt_started
        )
        watching = [one for one in observers if type(one).attempt_ended is not Observer.attempt_ended]
        self.on_outcome = tuple(one.attempt_ended for one in watching if one.ordinary_attempts)
        self.on_notable = tuple(one.attempt_ended for one in watching)
        self.on_commit = tuple(
            one.committed for one in observers if type(one).committed is not Observer.committed
        )

    def tell(self, events: Sequence[EventRow]) -> None:
        """Pass committed events to all who listen. A listener that fails is reported and kept apart."""
        for listener in self.listeners:
            try:
                listener(events)
            except Exception:
                log.exception("a listener failed")
