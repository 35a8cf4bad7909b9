"""How those who wait for a shared pool learn that another look is worth it, without looking again and again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any, Protocol

from laneway import aio
from laneway._core.errors import StoreError
from laneway.engine.schedule_alarm import first_of, watch_process
from laneway.engine.surroundings import log
from laneway.ports import EngineCard

__all__ = ["Lookout", "PoolCalls"]

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two looks while somebody has a share who cannot call."""


class PoolCalls(Protocol):
    """How engines of one store wake each other when shares of a pool are given back. A call may be lost."""

    def listen(self, engine: str, called: Callable[[], None] | None) -> None:
        """Call `called` on the event loop when another engine called this one, or may have. None ends it."""
        ...

    async def call(self, engines: Collection[str]) -> None:
        """Wake those engines."""
        ...

    def reaches(self, engine: str) -> bool:
        """Whether calls between this engine and that one arrive."""
        ...


class Lookout:
    """Wakes those of one engine who wait for shares of one pool.

    They are woken when a share is given back here; when another engine calls; when the process of one who has a share
    ends, on this host; when a lease of another engine ends; and with each renewal of the own leases, in case a call was
    lost. Only while somebody has a share whom calls do not reach is there a look every now and then.

    Args:
        card: this engine.
        calls: how engines call each other; None where they cannot.
        sleep: how to wait.
        ended: waits until another engine's process has ended; by default those of this host are watched.
    """

    def __init__(
        self,
        card: EngineCard,
        calls: PoolCalls | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ended: Callable[[EngineCard], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._card = card
        self._calls = calls
        self._sleep = sleep
        self._ended = self._process_of if ended is None else ended
        self._bells: dict[str, asyncio.Event] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> set[str]:
        """The shares that are waited for."""
        return set(self._bells)

    def enter(self, share: str) -> asyncio.Event:
        """Somebody waits from now on; the event is set when another look is worth it."""
        bell = self._bells[share] = asyncio.Event()
        return bell

    def leave(self, share: str) -> bool:
        """Somebody waits no longer; whether they did. Nobody is watched for nobody."""
        found = self._bells.pop(share, None)
        if not self._bells:
            for watch in self._watches.values():
                watch.cancel()
            self._watches.clear()
        return found is not None

    def ring(self) -> None:
        """Have everybody look."""
        for bell in self._bells.values():
            bell.set()

    async def call(self, engines: Collection[str]) -> None:
        """Have other engines look. If that fails, they look with their next renewal."""
        if self._calls is None or not engines:
            return
        try:
            await self._calls.call(engines)
        except StoreError as error:
            log.warning("engines that wait for a pool could not be called: %s", error)

    async def rest(
        self, bell: asyncio.Event, others: Collection[EngineCard], left: float, tries: int
    ) -> None:
        """Wait until another look is worth it.

        Args:
            bell: what `enter` gave.
            others: other engines that have shares, or wait for some.
            left: seconds after which it is in any case.
            tries: how many looks there were before.
        """
        for card in others:
            if card.id not in self._watches:
                watch = aio.create_task(self._watch(card), name="watch a pool's holder")
                self._watches[card.id] = watch
        if not all(self._calls is not None and self._calls.reaches(card.id) for card in others):
            pause = min(FIRST_PAUSE * 1.5 ** min(tries, 20), LONGEST_PAUSE)
            left = min(left, pause * random.uniform(0.5, 1.0))
        sleeping: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        if left != float("inf"):
            sleeping.append(partial(self._slept, left))
        await first_of(bell, *sleeping)

    async def _slept(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _watch(self, card: EngineCard) -> None:
        await self._ended(card)
        self.ring()

    async def _process_of(self, card: EngineCard) -> None:
        if card.host == self._card.host and card.pid != self._card.pid:
            await watch_process(card.pid)
        else:
            await asyncio.get_running_loop().create_future()
