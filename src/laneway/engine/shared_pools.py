"""`SharedPool`: a pool that all engines of a store hold together, kept in the store by leases."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid7

from laneway._core.errors import LanewayError
from laneway._core.pool_book import PoolBook, PoolReport, PoolTooSmall
from laneway._core.waiting_line import AGEING
from laneway.engine.pool_ledger import PoolLedger
from laneway.engine.pool_lookout import PoolCalls
from laneway.engine.pools import Hold, Pool, check_capacity
from laneway.ports import EngineCard, Store

__all__ = ["SharedHold", "SharedPool", "SharedPoolUnbound"]


class SharedPoolUnbound(LanewayError):
    """A shared pool lives in a store, and no open engine has given it one."""

    code = "LW-POOL-002"
    template = "shared pool {pool!r} belongs to no open engine. Give it to one: Engine(store, pools=[pool])."


class SharedPool(Pool):
    """A pool of which all engines of a store together hold no more than there is.

    Within an engine it works like `Pool`: priorities, fairness, no overtaking. Between engines it goes by who looks
    first, until somebody has waited for a second: from then on nobody who came later is served first. What a holder had
    comes back when its process ends, or, if that cannot be seen, when it was silent for 15 s; a rate is used up.

    Args:
        name: what tasks call it.
        slots: how many may hold it at once.
        rate: how many may take it within any `per` seconds.
        per: the period of `rate` in seconds.
        budget: how much may be held at once.
        ageing: see `Pool`.

    Exactly one of `slots`, `rate` and `budget`, the same in all engines.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int | None = None,
        rate: float | None = None,
        per: float = 1.0,
        budget: float | None = None,
        ageing: float = AGEING,
    ) -> None:
        super().__init__(name, slots=slots, rate=rate, per=per, budget=budget, ageing=ageing)
        self.buys = rate is not None
        """Of a rate: one of this engine's line at a time asks the store, and whoever asks is at its head."""
        self._rate = 0.0 if rate is None else float(rate)
        self._per = per
        self._inside = 0
        self._bought = 0
        if self.buys:
            self._book = PoolBook(name, "slots", 1.0, ageing=ageing)
        self._ledger: PoolLedger | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(
        self,
        store: Store,
        card: EngineCard,
        is_gone: Callable[[EngineCard], bool],
        now: Callable[[], Awaitable[float]],
        calls: PoolCalls | None = None,
    ) -> None:
        """Called by the engine when it opens."""
        per = self._per if self.buys else 0.0
        self._loop = asyncio.get_running_loop()
        self._ledger = PoolLedger(store, self.name, card, is_gone, now, calls, per=per)

    def called(self) -> None:
        """Called by the engine when another one may have given something back. From any thread."""
        ledger = self._ledger
        if ledger is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(ledger.look)

    async def unbind(self) -> None:
        """Called by the engine when it closes: gives everything back."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await ledger.close()

    def hold(self, amount: float = 1, *, priority: int = 0, key: str = "") -> SharedHold:
        """A claim on the pool, for `async with`."""
        return SharedHold(self, amount, priority, key)

    def resize(self, capacity: float) -> None:
        """Change how much there is, for this engine; see `Pool.resize`. Others go by what they were told."""
        if not self.buys:
            super().resize(capacity)
        else:
            check_capacity(self.name, "rate", capacity)
            self._rate = float(capacity)
        self.called()

    def report(self) -> PoolReport:
        """Use and waiting right now. Of a rate: what this engine knew when it last asked the store."""
        found = super().report()
        if not self.buys:
            return found
        ledger = self._ledger
        used = 0.0 if ledger is None else ledger.used_lately()
        asking = found.holders
        return found._replace(
            kind="rate",
            capacity=self._rate,
            per=self._per,
            used=used,
            holders=self._inside,
            waiting=found.waiting + asking,
            granted=self._bought,
        )

    @property
    def ledger(self) -> PoolLedger:
        """Where shares are written.

        Raises:
            SharedPoolUnbound: no engine is open that has this pool.
        """
        if self._ledger is None:
            raise SharedPoolUnbound(pool=self.name)
        return self._ledger

    # ---- for SharedHold

    def entered(self) -> None:
        """Somebody holds some of a rate."""
        self._inside += 1
        self._bought += 1

    def left(self) -> None:
        """And holds it no longer."""
        self._inside -= 1

    def most(self) -> float:
        """How much there is."""
        return self._rate if self.buys else self._book.capacity


class SharedHold(Hold):
    """One claim on a shared pool."""

    __slots__ = ("_ledger", "_share", "_shared", "_wanted")

    def __init__(self, pool: SharedPool, amount: float, priority: int, key: str) -> None:
        super().__init__(pool, amount, priority, key)
        self._shared = pool
        self._wanted = self._amount
        if pool.buys:
            self._amount = 1.0  # its turn to ask the store
        self._ledger: PoolLedger | None = None
        self._share = ""

    async def acquire(self) -> None:
        """Wait for it: in this engine's line first, then for other engines.

        Raises:
            PoolTooSmall: the pool has not, or no longer, as much.
        """
        pool = self._shared
        ledger = pool.ledger
        if self._wanted > pool.most():
            raise PoolTooSmall(pool=pool.name, capacity=pool.most(), amount=self._wanted)
        await super().acquire()
        share = str(uuid7())
        try:
            await ledger.take(share, self._wanted, pool.most)
        except BaseException:
            ledger.give(share)
            super().release()
            raise
        self._ledger, self._share = ledger, share
        if pool.buys:
            super().release()
            pool.entered()

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
        if ledger is None:
            return
        if self._shared.buys:
            self._shared.left()
            return
        ledger.give(self._share)
        super().release()
