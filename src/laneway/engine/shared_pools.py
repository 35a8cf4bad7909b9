"""`SharedPool`: a pool that all engines of a store hold together, kept in the store by leases."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid7

import msgspec

from laneway import aio
from laneway._core.errors import LanewayError, SettingInvalid, StoreError
from laneway._core.waiting_line import AGEING
from laneway.engine.pools import Hold, Pool
from laneway.engine.surroundings import log
from laneway.ports import EngineCard, Store

__all__ = ["SharedHold", "SharedPool", "SharedPoolUnbound"]

_KIND = "pool"
_LEASE = 15.0
"""Seconds after which what a silent holder holds is taken back."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two looks while other engines hold all of it."""


class SharedPoolUnbound(LanewayError):
    """A shared pool lives in a store, and no open engine has given it one."""

    code = "LW-POOL-002"
    template = "shared pool {pool!r} belongs to no open engine. Give it to one: Engine(store, pools=[pool])."


class _Share(msgspec.Struct, array_like=True):
    """What one holder has: how much, of which process, until when (epoch seconds)."""

    amount: float
    card: EngineCard
    until: float


class SharedPool(Pool):
    """A pool of which all engines of a store together hold no more than there is.

    Within an engine it works like `Pool`: priorities, fairness, no overtaking. Between engines it goes by who looks
    first. What a holder had comes back when its process ends, or, if that cannot be seen, when it was silent for 15 s.

    Args:
        name: what tasks call it.
        slots: how many may hold it at once.
        budget: how much may be held at once.
        ageing: see `Pool`.
    """

    def __init__(
        self, name: str, *, slots: int | None = None, budget: float | None = None, ageing: float = AGEING
    ) -> None:
        if (slots is None) == (budget is None):
            raise SettingInvalid(
                setting="pool",
                value=name,
                reason="a shared pool has either slots or a budget",
                advice="Write SharedPool('licences', slots=5).",
            )
        super().__init__(name, slots=slots, budget=budget, ageing=ageing)
        self._ledger: Ledger | None = None

    def bind(self, store: Store, card: EngineCard, is_gone: Callable[[EngineCard], bool]) -> None:
        """Called by the engine when it opens."""
        self._ledger = Ledger(store, self.name, card, is_gone)

    async def unbind(self) -> None:
        """Called by the engine when it closes: gives everything back."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await ledger.close()

    def hold(self, amount: float = 1, *, priority: int = 0, key: str = "") -> SharedHold:
        """A claim on the pool, for `async with`."""
        return SharedHold(self, amount, priority, key)

    @property
    def ledger(self) -> Ledger:
        """Where shares are written.

        Raises:
            SharedPoolUnbound: no engine is open that has this pool.
        """
        if self._ledger is None:
            raise SharedPoolUnbound(pool=self.name)
        return self._ledger


class SharedHold(Hold):
    """One claim on a shared pool."""

    __slots__ = ("_ledger", "_share")

    def __init__(self, pool: SharedPool, amount: float, priority: int, key: str) -> None:
        super().__init__(pool, amount, priority, key)
        self._ledger: Ledger | None = None
        self._share = ""

    async def acquire(self) -> None:
        """Wait for it: in this engine's line first, then for other engines."""
        pool = self._pool
        if not isinstance(pool, SharedPool):
            raise TypeError("a shared hold needs a shared pool")
        ledger = pool.ledger
        await super().acquire()
        share = str(uuid7())
        try:
            await ledger.take(share, self._amount, lambda: pool.report().capacity)
        except BaseException:
            ledger.give(share)
            super().release()
            raise
        self._ledger, self._share = ledger, share

    def acquire_blocking(self, timeout: float | None = None) -> bool:
        """Not for shared pools.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"shared pool {self._pool.name!r}: use `async with`, or @task(pool=...)")

    def take(self) -> bool:
        """Not for shared pools: somebody else's store has to be asked."""
        return False

    def release(self) -> None:
        """Give it back; the store learns of it right after. Idempotent."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.give(self._share)
        super().release()


class Ledger:
    """One pool's shares as a document of the store, changed by compare and swap.

    While this engine holds anything, its shares are renewed every third of a lease.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        card: EngineCard,
        is_gone: Callable[[EngineCard], bool],
        *,
        lease: float = _LEASE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._name = name
        self._card = card
        self._is_gone = is_gone
        self._lease = lease
        self._now = now
        self._mine: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heart: asyncio.Task[None] | None = None

    async def take(self, share: str, amount: float, capacity: Callable[[], float]) -> None:
        """Write a share once there is room for it."""
        pause = _FIRST_PAUSE
        self._mine.add(share)
        while True:

            def change(shares: dict[str, _Share]) -> bool:
                if sum(one.amount for one in shares.values()) + amount > capacity() + 1e-9:
                    return False
                shares[share] = _Share(amount, self._card, self._now() + self._lease)
                return True

            if await self._change(change):
                break
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        if self._heart is None:
            self._heart = aio.create_task(self._beat(), name=f"hold pool {self._name}")

    def give(self, share: str) -> None:
        """Take a share out, in the background; `close` waits for it."""
        if share not in self._mine:
            return
        self._mine.discard(share)
        task = aio.create_task(self._give(share), name=f"give back pool {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give(self, share: str) -> None:
        def change(shares: dict[str, _Share]) -> bool:
            return shares.pop(share, None) is not None

        try:
            await self._change(change)
        except StoreError as error:
            log.error(
                "pool %s: a share could not be given back, it ends with its lease: %s", self._name, error
            )
        if not self._mine and self._heart is not None:
            self._heart.cancel()
            self._heart = None

    async def close(self) -> None:
        """Give back what is held."""
        for share in list(self._mine):
            self.give(share)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _beat(self) -> None:
        def change(shares: dict[str, _Share]) -> bool:
            until = self._now() + self._lease
            for share in self._mine & shares.keys():
                shares[share].until = until
            return True

        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                await self._change(change)
            except StoreError as error:
                log.error("pool %s could not be renewed: %s", self._name, error)

    async def _change(self, change: Callable[[dict[str, _Share]], bool]) -> bool:
        """Apply a change to the shares, without those of the dead; False if it does not want to."""
        while True:
            found = await self._store.read("documents", kind=_KIND, name=self._name)
            version, body = (int(found[0]["version"]), found[0]["body"]) if found else (0, b"{}")
            shares = _decode(body)
            now = self._now()
            living = {
                name: one
                for name, one in shares.items()
                if one.until >= now and (one.card == self._card or not self._is_gone(one.card))
            }
            if not change(living):
                return False
            encoded: Any = msgspec.json.encode(living)
            if await self._store.keep(_KIND, self._name, encoded, version=version) is not None:
                return True


_decode = msgspec.json.Decoder(dict[str, _Share]).decode
