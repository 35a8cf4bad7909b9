"""The shares of one shared pool, kept in the store: who holds how much, who waits for long, what a rate gave lately."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from laneway import aio
from laneway._core.errors import StoreError
from laneway._core.pool_book import PoolTooSmall
from laneway._core.rate_window import Taken, counting, taken, wait_for
from laneway.engine.surroundings import log
from laneway.ports import EngineCard, Store

__all__ = ["PoolLedger"]

_KIND = "pool"
LEASE = 15.0
"""Seconds after which what a silent holder holds is taken back."""
_PATIENCE = 5.0
"""Seconds of waiting after which nobody who came later is served first."""
_FIRST_PAUSE, _LONGEST_PAUSE, _IMPATIENT_PAUSE = 0.02, 0.5, 0.1
"""Seconds between two looks while other engines hold all of it."""


class Share(msgspec.Struct, array_like=True):
    """What one holder has, or has waited for since `asked`; of which process, until when by the store's clock."""

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

    While this engine holds anything, its shares are renewed every third of a lease. What a rate gave needs no lease:
    it is used up, whoever had it.

    Args:
        store: where the document is.
        name: the pool's.
        card: this engine, for others to see whether it lives.
        is_gone: whether another engine is surely over.
        now: the store's clock.
        per: seconds of a rate's period; 0 for what is given back.
        sleep: how to wait.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        card: EngineCard,
        is_gone: Callable[[EngineCard], bool],
        now: Callable[[], Awaitable[float]],
        *,
        per: float = 0.0,
        lease: float = LEASE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
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
        self._asking: set[str] = set()
        self._held: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heart: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        """Changes of one engine go one after another: beside each other they would only undo each other."""

    def used_lately(self) -> float:
        """Of a rate: how much of what this engine knows about still counts."""
        now = self._seen + time.monotonic() - self._seen_here
        return sum(one.amount for one in counting(self._window, now, self._per))

    async def take(self, share: str, amount: float, capacity: Callable[[], float]) -> None:
        """Write a share once there is room for it. If it raises, `give` must follow.

        Raises:
            PoolTooSmall: there will never be as much.
        """
        pause = _FIRST_PAUSE
        self._asking.add(share)
        began: float | None = None
        wait = 0.0

        def look(found: Shares, now: float) -> bool:
            nonlocal began, wait
            if amount > capacity():
                raise PoolTooSmall(pool=self._name, capacity=capacity(), amount=amount)
            began = now if began is None else min(began, now)
            wait = self._wait_for(share, amount, found, began, now, capacity())
            if wait == 0.0:
                if self._per:
                    found.shares.pop(share, None)
                    found.taken = taken(amount, found.taken, now, per=self._per)
                else:
                    found.shares[share] = Share(amount, self._card, now + self._lease)
                return True
            if now - began < _PATIENCE:
                return False
            found.shares[share] = Share(amount, self._card, now + self._lease, began)
            return True

        while True:
            await self._change(look)
            if wait == 0.0:
                break
            longest = _IMPATIENT_PAUSE if wait < 0 and pause == _LONGEST_PAUSE else _LONGEST_PAUSE
            await self._sleep(wait if wait > 0 else min(pause, longest) * random.uniform(0.5, 1.0))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        self._asking.discard(share)
        if self._per:
            return
        self._held.add(share)
        if self._heart is None:
            self._heart = aio.create_task(self._beat(), name=f"hold pool {self._name}")

    def _wait_for(
        self, share: str, amount: float, found: Shares, began: float, now: float, capacity: float
    ) -> float:
        """Seconds until that much can be taken; 0 for now, -1 for nobody knows."""
        if any(one.asked and one.asked < began for name, one in found.shares.items() if name != share):
            return -1.0
        if self._per:
            return wait_for(amount, found.taken, now, capacity=capacity, per=self._per)
        return 0.0 if found.used() + amount <= capacity + 1e-9 else -1.0

    def give(self, share: str) -> None:
        """Take a share out, in the background; `close` waits for it. Idempotent."""
        if share not in self._held and share not in self._asking:
            return
        self._held.discard(share)
        self._asking.discard(share)
        task = aio.create_task(self._give(share), name=f"give back pool {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give(self, share: str) -> None:
        try:
            await self._change(lambda found, _: found.shares.pop(share, None) is not None)
        except StoreError as error:
            log.error(
                "pool %s: a share could not be given back, it ends with its lease: %s", self._name, error
            )
        if not self._held and self._heart is not None:
            self._heart.cancel()
            self._heart = None

    async def close(self) -> None:
        """Give back what is held."""
        for share in self._held | self._asking:
            self.give(share)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _beat(self) -> None:
        def renew(found: Shares, now: float) -> bool:
            for share in self._held & found.shares.keys():
                found.shares[share].until = now + self._lease
            lost = self._held - found.shares.keys()
            if lost:
                log.error(
                    "pool %s: %d share(s) were taken back while this engine was silent", self._name, len(lost)
                )
                self._held -= lost
            return True

        while True:
            await self._sleep(self._lease / 3)
            try:
                await self._change(renew)
            except StoreError as error:
                log.error("pool %s could not be renewed: %s", self._name, error)

    async def _change(self, change: Callable[[Shares, float], bool]) -> None:
        """Apply a change to what is kept, without the shares of the dead, unless the change says it made none."""
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
                    return
                encoded: Any = msgspec.json.encode(shares)
                if await self._store.keep(_KIND, self._name, encoded, version=version) is not None:
                    return

    def _is_living(self, one: Share, now: float) -> bool:
        return one.until >= now and (one.card == self._card or not self._is_gone(one.card))


_decode = msgspec.json.Decoder(Shares).decode
