"""The shares of one shared pool, kept in the store: who holds how much, who waits for long, what a rate gave lately."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from laneway import aio
from laneway._core.errors import StoreError
from laneway._core.pool_book import PoolTooSmall
from laneway._core.rate_window import Taken, counting, taken, wait_for
from laneway.engine.pool_lookout import Lookout, PoolCalls
from laneway.engine.surroundings import log
from laneway.ports import EngineCard, Store

__all__ = ["PoolLedger"]

_KIND = "pool"
LEASE = 15.0
"""Seconds after which what a silent holder holds is taken back."""
_PATIENCE = 1.0
"""Seconds of waiting after which nobody who came later is served first."""
_LATE = 0.02
"""Seconds after the end of a lease at which its share is surely free."""
_CRUMB = 1e-9


class Share(msgspec.Struct, array_like=True):
    """What one holder has, or has waited for since `asked`; of which engine, until when by the store's clock."""

    amount: float
    card: EngineCard
    until: float
    asked: float = 0.0


class Shares(msgspec.Struct, omit_defaults=True):
    """The document of one pool."""

    shares: dict[str, Share] = {}
    taken: list[Taken] = []
    """Of a rate."""

    def used(self) -> float:
        """How much is held."""
        return sum(one.amount for one in self.shares.values() if not one.asked)


class PoolLedger:
    """One pool's shares as a document of the store, changed by compare and swap.

    Who has to wait writes that down, so that whoever gives something back knows whom to call. While this engine holds
    or awaits anything, its shares are renewed every third of a lease. What a rate gave needs no lease: it is used up,
    whoever had it.

    Args:
        store: where the document is.
        name: the pool's.
        card: this engine, for others to see whether it lives.
        is_gone: whether another engine is surely over.
        now: the store's clock.
        calls: how engines wake each other; None where they cannot.
        per: seconds of a rate's period; 0 for what is given back.
        sleep: how to wait.
        ended: see `Lookout`.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        card: EngineCard,
        is_gone: Callable[[EngineCard], bool],
        now: Callable[[], Awaitable[float]],
        calls: PoolCalls | None = None,
        *,
        per: float = 0.0,
        lease: float = LEASE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ended: Callable[[EngineCard], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._window: list[Taken] = []
        """Of a rate: what was seen to be taken when this engine last looked."""
        self._seen = self._seen_here = 0.0
        """When that was, by the store's clock and by this program's."""
        self._store = store
        self._name = name
        self._card = card
        self._is_gone = is_gone
        self._now = now
        self._per = per
        self._lease = lease
        self._sleep = sleep
        self._lookout = Lookout(card, calls, sleep=sleep, ended=ended)
        self._held: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._heart: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        """Changes of one engine go one after another: beside each other they would only undo each other."""

    def look(self) -> None:
        """Have those who wait look again: there may be more than they know."""
        self._lookout.ring()

    def used_lately(self) -> float:
        """Of a rate: how much of what this engine knows about still counts."""
        now = self._seen + time.monotonic() - self._seen_here
        return sum(one.amount for one in counting(self._window, now, self._per))

    async def take(self, share: str, amount: float, capacity: Callable[[], float]) -> None:
        """Write a share once there is room for it. If it raises, `give` must follow.

        Raises:
            PoolTooSmall: there will never be as much.
        """
        bell = self._lookout.enter(share)
        began: float | None = None
        wait, moment, is_full = 0.0, 0.0, False

        def look(found: Shares, now: float) -> bool:
            nonlocal began, wait, moment, is_full
            if amount > capacity():
                raise PoolTooSmall(pool=self._name, capacity=capacity(), amount=amount)
            began = now if began is None else min(began, now)
            moment = now
            wait = self._wait_for(share, amount, found, began, now, capacity())
            if wait == 0.0:
                found.shares.pop(share, None)
                if self._per:
                    found.taken = taken(amount, found.taken, now, per=self._per)
                else:
                    found.shares[share] = Share(amount, self._card, now + self._lease)
                    is_full = found.used() + _CRUMB > capacity()
                return True
            if share in found.shares or (wait > 0.0 and now - began < _PATIENCE):
                return False  # written down already; or told when it can be had, and nobody to wait behind it yet
            found.shares[share] = Share(amount, self._card, now + self._lease, began)
            return True

        tries = 0
        while True:
            bell.clear()
            shares = await asyncio.shield(self._going_on(self._change(look, lambda: is_full)))
            if wait == 0.0:
                break
            self._beat()
            others = [] if wait > 0 else [one for one in shares.shares.values() if one.card != self._card]
            ends = min((one.until for one in others), default=float("inf")) - moment + _LATE
            await self._lookout.rest(bell, [one.card for one in others], wait if wait > 0 else ends, tries)
            tries += 1
        self._lookout.leave(share)
        if self._per:
            self._calm()
            return
        self._held.add(share)
        self._beat()

    def _wait_for(
        self, share: str, amount: float, found: Shares, began: float, now: float, capacity: float
    ) -> float:
        """Seconds until that much can be taken; 0 for now, -1 for nobody knows."""
        first = min(began, now - _PATIENCE)
        if any(one.asked and one.asked < first for name, one in found.shares.items() if name != share):
            return -1.0
        if self._per:
            return wait_for(amount, found.taken, now, capacity=capacity, per=self._per)
        return 0.0 if found.used() + amount <= capacity + _CRUMB else -1.0

    def give(self, share: str) -> None:
        """Take a share out, in the background; `close` waits for it. Idempotent."""
        waited = self._lookout.leave(share)
        if share not in self._held and not waited:
            return
        self._held.discard(share)
        self._going_on(self._give(share))

    def _going_on[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work that goes on whoever is cancelled: what the store was handed is written, and taken back after that."""
        task = aio.create_task(work, name=f"change pool {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it was told

    async def _give(self, share: str) -> None:
        try:
            await self._change(lambda found, _: found.shares.pop(share, None) is not None)
        except StoreError as error:
            log.error(
                "pool %s: a share could not be given back, it ends with its lease: %s", self._name, error
            )
        self._calm()

    async def close(self) -> None:
        """Give back what is held."""
        for share in self._held | self._lookout.waiting:
            self.give(share)
        if self._tasks:
            await asyncio.wait(self._tasks)

    # ---- leases

    def _beat(self) -> None:
        if self._heart is None:
            self._heart = aio.create_task(self._renewing(), name=f"hold pool {self._name}")

    def _calm(self) -> None:
        if not self._held and not self._lookout.waiting and self._heart is not None:
            self._heart.cancel()
            self._heart = None

    async def _renewing(self) -> None:
        def renew(found: Shares, now: float) -> bool:
            mine = (self._held | self._lookout.waiting) & found.shares.keys()
            for share in mine:
                found.shares[share].until = now + self._lease
            lost = self._held - found.shares.keys()
            if lost:
                log.error(
                    "pool %s: %d share(s) were taken back while this engine was silent", self._name, len(lost)
                )
                self._held -= lost
            return bool(mine)

        while True:
            await self._sleep(self._lease / 3)
            try:
                await self._change(renew)
            except StoreError as error:
                log.error("pool %s could not be renewed: %s", self._name, error)
            self._lookout.ring()  # a call may have been lost

    # ---- the document

    async def _change(
        self, change: Callable[[Shares, float], bool], is_full: Callable[[], bool] = lambda: False
    ) -> Shares:
        """Apply a change to what is kept, without the shares of the dead, unless the change says it made none.

        Whoever may be served because of it is woken, here and in other engines, unless there is nothing to be had.
        """
        async with self._turn:
            while True:
                found = await self._store.read("documents", kind=_KIND, name=self._name)
                version, body = (int(found[0]["version"]), found[0]["body"]) if found else (0, b"{}")
                now = await self._now()
                kept = _decode(body)
                living = {name: one for name, one in kept.shares.items() if self._is_living(one, now)}
                shares = Shares(living, counting(kept.taken, now, self._per) if self._per else [])
                is_changed = change(shares, now)
                self._window, self._seen, self._seen_here = shares.taken, now, time.monotonic()
                if not is_changed:
                    return shares
                encoded: Any = msgspec.json.encode(shares)
                if await self._store.keep(_KIND, self._name, encoded, version=version) is not None:
                    break
        if not is_full():
            await self._wake(kept, shares)
        return shares

    async def _wake(self, before: Shares, after: Shares) -> None:
        """Tell those who wait if somebody's share, or somebody's place before them, is gone."""
        freed = any(
            name not in after.shares or (one.asked and not after.shares[name].asked)
            for name, one in before.shares.items()
        )
        if freed:
            self._lookout.ring()
            waiting = {one.card.id for one in after.shares.values() if one.asked}
            await self._lookout.call(waiting - {self._card.id})

    def _is_living(self, one: Share, now: float) -> bool:
        return one.until >= now and (one.card == self._card or not self._is_gone(one.card))


_decode = msgspec.json.Decoder(Shares).decode
