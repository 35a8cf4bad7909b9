"""Deleting old finished runs while an engine works: woken when the next one is due, in pieces that hold nobody up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from laneway import aio
from laneway._core.errors import StoreError
from laneway.engine.surroundings import Surroundings

__all__ = ["Retention"]

log = logging.getLogger("laneway.retention")

_FIRST = 50
"""Runs in the first piece; later ones follow how long it took."""
_MOST = 1000
_SECONDS = 0.05
"""How long a piece may keep the store's writer, roughly."""
_SHARE = 1 / 50
"""Sweeps are at least this share of the retention apart, so that each takes many runs at once."""
_LONGEST = 86_400.0
_SHORTEST = 1.0
_AFTER_TROUBLE = 60.0


class Retention:
    """Sweeps one store. Between sweeps there is one timer, for when the oldest finished run will be old enough.

    Several engines of a store may do so at once: what one has deleted another does not find.

    Args:
        around: store, time.
        seconds: how long ago a run must have ended.
        collect: deletes what else nobody used since an epoch second, once old runs are gone.
    """

    def __init__(
        self,
        around: Surroundings,
        seconds: float,
        collect: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        self._around = around
        self._seconds = seconds
        self._collect = collect
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False
        self.swept = 0
        """Runs deleted so far."""

    def start(self) -> None:
        """Look soon for what is old already, then whenever something is due."""
        self._wake_in(min(_SHORTEST, self._apart))

    @property
    def next_look(self) -> float | None:
        """The event loop's time of the next look at the store; None during one."""
        idle = self._timer is not None and (self._sweeping is None or self._sweeping.done())
        return self._timer.when() if self._timer is not None and idle else None

    @property
    def _apart(self) -> float:
        return min(max(self._seconds * _SHARE, _SHORTEST), _LONGEST)

    def _wake_in(self, seconds: float) -> None:
        if not self._closed:
            self._timer = self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._sweeping = aio.create_task(self._sweep(), name="laneway retention")

    async def _sweep(self) -> None:
        try:
            await self._delete()
            if self._collect is not None and not self._closed:
                await self._collect(self._around.now() - self._seconds)
            oldest = (await self._around.store.read("ages"))[0]["oldest_end"]
        except StoreError as error:
            log.warning("old runs could not be deleted now: %s", error)
            self._wake_in(_AFTER_TROUBLE)
            return
        now = self._around.now()
        due = (now if oldest is None else oldest) + self._seconds - now
        self._wake_in(min(max(due, self._apart), _LONGEST))

    async def _delete(self) -> None:
        """Delete what is old enough, piece by piece, leaving the writer to others in between."""
        before = self._around.now() - self._seconds
        piece, swept = _FIRST, 0
        while not self._closed:
            began = self._loop.time()
            once = await self._around.store.sweep(before=before, limit=piece)
            took = self._loop.time() - began
            swept += once["runs"]
            if once["runs"] < piece:
                break
            piece = max(1, piece // 2) if took > _SECONDS else min(_MOST, piece * 2)
            await asyncio.sleep(took / 4)
        self.swept += swept
        if swept:
            log.info("deleted %s finished runs older than %s s", swept, round(self._seconds))

    async def close(self) -> None:
        """Sweep no more; the piece under way is finished. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sweeping is not None and not self._sweeping.done():
            await asyncio.wait([self._sweeping])
