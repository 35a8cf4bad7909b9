"""One run's way into the store: a failed write is told and tried again until it is durable, never dropped."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from laneway._core.errors import StoreError, StoreUnavailable
from laneway._core.records import Transition
from laneway._core.rows import joined
from laneway.engine.surroundings import Surroundings, log
from laneway.ports import LiveRun

__all__ = ["Ledger"]

_LAST_WRITES = 30.0
"""Seconds that a closing engine waits for its last writes at least."""

_STORE_PAUSE = 1.0
"""Seconds between two tries while the store cannot be written."""


class Writing(LiveRun, Protocol):
    """A run that hands transitions over, and what it is told of them."""

    def durable(self, transition: Transition, ready: Sequence[int]) -> None:
        """A transition is durable; those tasks can start."""
        ...

    def abandon(self, error: BaseException) -> None:
        """This engine may not write any more."""
        ...


class Ledger:
    """Hands a run's transitions to the store, in order.

    Args:
        around: the store, and who watches.
        run: the run as text, for messages.
        deferred: keep everything back until the run's end (durability `exit`).
    """

    def __init__(self, around: Surroundings, run: str, *, deferred: bool) -> None:
        self.under_way = 0
        """Transitions that are handed over and not durable yet."""
        self.is_abandoned = False
        self._around = around
        self._run = run
        self._kept_back: list[Transition] | None = [] if deferred else None

    def hand_over(self, driver: Writing, transition: Transition, ready: Sequence[int]) -> bool:
        """Give a transition to the store; False if it was only kept back, and the run may go on at once."""
        if self._kept_back is not None:
            self._kept_back.append(transition)
            if transition.end is None:
                self._around.tell(transition.events)
                return False
            transition = joined(self._kept_back)
        self.under_way += 1
        self._store(driver, transition, ready)
        return True

    def flush(self, driver: Writing) -> None:
        """Give what was kept back to the store now."""
        if self._kept_back:
            self.under_way += 1
            self._store(driver, joined(self._kept_back), ())

    async def finish(self, written: Coroutine[Any, Any, None], grace: float) -> None:
        """Wait until all is durable, though not for ever for a store that cannot be written: the engine closes."""
        try:
            await asyncio.wait_for(written, max(grace, _LAST_WRITES))
        except TimeoutError:
            self.is_abandoned = True
            log.error(
                "run %s: the store could not be written before the engine closed; what is missing runs again",
                self._run,
            )

    def _store(
        self, driver: Writing, transition: Transition, ready: Sequence[int], troubled: bool = False
    ) -> None:
        handed = perf_counter() if self._around.on_commit else 0.0
        self._around.store.commit(
            transition, partial(self._answered, driver, transition, ready, handed, troubled)
        )

    def _answered(
        self,
        driver: Writing,
        transition: Transition,
        ready: Sequence[int],
        handed: float,
        troubled: bool,
        error: BaseException | None,
    ) -> None:
        if error is not None:
            if not self.is_abandoned:
                self._refused(driver, transition, ready, troubled, error)
            return
        around = self._around
        if around.on_commit:
            seconds = perf_counter() - handed if handed else 0.0
            for committed in around.on_commit:
                committed(driver, transition, seconds)
        if self.is_abandoned:
            return
        if troubled:
            log.warning("the store is back; run %s goes on", self._run)
        self.under_way -= 1
        if around.listeners:
            around.tell(transition.events)
        driver.durable(transition, ready)

    def _refused(
        self,
        driver: Writing,
        transition: Transition,
        ready: Sequence[int],
        troubled: bool,
        error: BaseException,
    ) -> None:
        if isinstance(error, StoreUnavailable):
            if not troubled:
                log.error("run %s waits for the store: %s", self._run, error)
            asyncio.get_running_loop().call_later(_STORE_PAUSE, self._again, driver, transition, ready)
            return
        if not isinstance(error, StoreError):
            log.error("run %s cannot be recorded: %s", self._run, error)
        driver.abandon(error)

    def _again(self, driver: Writing, transition: Transition, ready: Sequence[int]) -> None:
        if not self.is_abandoned:
            self._store(driver, transition, ready, troubled=True)
