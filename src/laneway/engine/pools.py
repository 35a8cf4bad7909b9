"""`Pool`: a named, bounded resource that steps, coroutines and threads hold while they work."""

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from laneway._core.errors import SettingInvalid
from laneway._core.pool_book import Kind, PoolBook, PoolReport, PoolTooSmall
from laneway._core.waiting_line import AGEING

__all__ = ["Hold", "Pool"]


_SLACK = 0.1
"""Seconds after which an alarm that did not come is set anew: its event loop may be gone."""


class _Waiter:
    """Somebody in line: `wake` is called once, from any thread, with the error if it cannot be served."""

    __slots__ = ("later", "wake")

    def __init__(
        self, wake: Callable[[BaseException | None], None], later: Callable[[float], None] | None
    ) -> None:
        self.wake = wake
        self.later = later
        """Calls the pool again after some seconds; None for a thread, which does so by itself."""


class Pool:
    """A resource of which there is only so much. Thread-safe.

    Args:
        name: what tasks call it: `@task(pool="name")`, or `@task(pool="name:2")` for an amount of 2.
        slots: how many may hold it at once.
        rate: how many may take it within any `per` seconds.
        per: the period of `rate` in seconds.
        budget: how much may be held at once, in whatever unit, such as megabytes.
        ageing: seconds of waiting that weigh as much as one step of priority.

    Exactly one of `slots`, `rate` and `budget`. Use `async with pool:` in coroutines, `with pool.hold():` in threads;
    `pool.hold(amount)` for more than one. Asking twice from one place can wait for itself for ever, as with any lock.
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
        given: list[tuple[Kind, float]] = []
        for kind, value in (("slots", slots), ("rate", rate), ("budget", budget)):
            if value is not None:
                given.append((kind, float(value)))  # type: ignore[arg-type]
        if len(given) != 1 or not name or ":" in name:
            raise SettingInvalid(
                setting="pool",
                value=name,
                reason="a pool has a name without a colon and exactly one of slots, rate and budget",
                advice="Write Pool('gpu', slots=1).",
            )
        kind, capacity = given[0]
        check_capacity(name, kind, capacity)
        if not per > 0:
            raise SettingInvalid(
                setting="per", value=per, reason="a period is longer than 0", advice="Use per=1."
            )
        self.name = name
        self._book = PoolBook(name, kind, capacity, per if kind == "rate" else 0.0, ageing=ageing)
        self._lock = threading.Lock()
        self._waiters: dict[int, _Waiter] = {}
        self._entered: dict[int, list[Hold]] = {}
        self._tickets = 0
        self._armed: float | None = None

    def hold(self, amount: float = 1, *, priority: int = 0, key: str = "") -> Hold:
        """A claim on the pool, for `with` and `async with`. Keys that wait take turns."""
        return Hold(self, amount, priority, key)

    async def __aenter__(self) -> Self:
        mine = self.hold()
        await mine.acquire()
        with self._lock:
            self._entered.setdefault(_whoever(), []).append(mine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            who = _whoever()
            if who not in self._entered:  # entered in another task: any claim of this sort is as good
                who = next(iter(self._entered))
            mine = self._entered[who].pop()
            if not self._entered[who]:
                del self._entered[who]
        mine.release()

    def resize(self, capacity: float) -> None:
        """Change how much there is. What is held stays held; those who ask for more than all of it are refused."""
        check_capacity(self.name, self._book.kind, capacity)
        with self._lock:
            lost = [self._waiters.pop(ticket) for ticket in self._book.resize(capacity)]
            served = self._served()
        for waiter in lost:
            waiter.wake(PoolTooSmall(pool=self.name, capacity=capacity, amount=capacity + 1))
        _wake(served)

    def report(self) -> PoolReport:
        """Use and waiting right now."""
        with self._lock:
            return self._book.report(time.monotonic())

    # ---- for Hold

    def _ask(
        self, amount: float, priority: int, key: str, waiter: Callable[[], _Waiter] | None
    ) -> tuple[int, bool]:
        """Ask under a new ticket; whether it was given at once. Without a waiter it is given at once or not at all."""
        with self._lock:
            self._tickets += 1
            ticket = self._tickets
            if self._book.ask(ticket, amount, time.monotonic(), priority=priority, key=key):
                return ticket, True
            if waiter is None:
                self._book.release(ticket)
            else:
                self._waiters[ticket] = waiter()
                self._arm()
        return ticket, False

    def _leave(self, ticket: int) -> None:
        """Give back, or leave the line."""
        with self._lock:
            self._waiters.pop(ticket, None)
            self._book.release(ticket)
            served = self._served() if self._waiters else ()
        _wake(served)

    def _tick(self) -> None:
        with self._lock:
            self._armed = None
            served = self._served()
        _wake(served)

    def _served(self) -> list[_Waiter]:
        served = [self._waiters.pop(ticket) for ticket in self._book.grant(time.monotonic())]
        self._arm()
        return served

    def _arm(self) -> None:
        """Of a rate: see that somebody looks again when the next is to be served. Threads in line do so themselves."""
        if self._book.kind != "rate" or not self._waiters:
            return
        now = time.monotonic()
        left = self._book.next_grant(now)
        if left is None or (self._armed is not None and now - _SLACK < self._armed <= now + left):
            return
        for waiter in self._waiters.values():
            if waiter.later is not None:
                self._armed = now + left
                waiter.later(left)
                return

    def _left(self) -> float | None:
        with self._lock:
            return self._book.next_grant(time.monotonic())


class Hold:
    """One claim on a pool: waits when entered, gives back when left, on every way out. Used once at a time."""

    __slots__ = ("_amount", "_key", "_pool", "_priority", "_ticket")

    def __init__(self, pool: Pool, amount: float, priority: int, key: str) -> None:
        if not 0 < amount < float("inf"):
            raise SettingInvalid(
                setting="amount", value=amount, reason="it must be more than 0", advice="Use 1 or more."
            )
        self._pool = pool
        self._amount = float(amount)
        self._priority = priority
        self._key = key
        self._ticket = 0

    def take(self) -> bool:
        """Take it if that needs no waiting.

        Raises:
            PoolTooSmall: the pool will never have as much.
        """
        ticket, given = self._pool._ask(self._amount, self._priority, self._key, None)
        if given:
            self._ticket = ticket
        return given

    async def acquire(self) -> None:
        """Wait for it. Cancelling the wait leaves the line.

        Raises:
            PoolTooSmall: the pool has not, or no longer, as much.
        """
        pool = self._pool
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] | None = None

        def waiter() -> _Waiter:
            nonlocal future
            future = loop.create_future()
            return _async_waiter(loop, future, pool)

        ticket, given = pool._ask(self._amount, self._priority, self._key, waiter)
        if given or future is None:
            self._ticket = ticket
            return
        try:
            await future
        except BaseException:
            pool._leave(ticket)
            raise
        self._ticket = ticket

    def acquire_blocking(self, timeout: float | None = None) -> bool:
        """Wait for it in a thread; False if `timeout` seconds were not enough.

        Raises:
            PoolTooSmall: as `acquire`.
            RuntimeError: called on an event loop, which it would block, and there is none left.
        """
        pool = self._pool
        ready = threading.Event()
        failure: list[BaseException] = []

        def wake(error: BaseException | None) -> None:
            if error is not None:
                failure.append(error)
            ready.set()

        ticket, given = pool._ask(self._amount, self._priority, self._key, lambda: _Waiter(wake, None))
        if given:
            self._ticket = ticket
            return True
        try:
            if _on_a_loop():
                raise RuntimeError(f"pool {pool.name!r}: `with` would block the event loop; use `async with`")
            until = None if timeout is None else time.monotonic() + timeout
            while not ready.is_set():
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    break
                tick = pool._left()
                if tick is not None and tick <= 0:
                    pool._tick()
                    continue
                waits = [one for one in (left, tick) if one is not None]
                ready.wait(min(waits, default=None))
            if failure:
                raise failure[0]
            if not ready.is_set():
                pool._leave(ticket)
                return False
        except BaseException:
            pool._leave(ticket)
            raise
        self._ticket = ticket
        return True

    def release(self) -> None:
        """Give it back. Idempotent."""
        ticket, self._ticket = self._ticket, 0
        if ticket:
            self._pool._leave(ticket)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __enter__(self) -> Self:
        self.acquire_blocking()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _async_waiter(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], pool: Pool) -> _Waiter:
    thread = threading.get_ident()

    def resolve(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def wake(error: BaseException | None) -> None:
        _call(resolve, error)

    def later(seconds: float) -> None:
        _call(loop.call_later, seconds, pool._tick)

    def _call(function: Callable[..., Any], *arguments: Any) -> None:
        if threading.get_ident() == thread:
            function(*arguments)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(function, *arguments)

    return _Waiter(wake, later)


def _wake(served: list[_Waiter] | tuple[()]) -> None:
    for waiter in served:
        waiter.wake(None)


def _whoever() -> int:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return id(task)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def check_capacity(name: str, kind: Kind, capacity: float) -> None:
    if not 0 < capacity < float("inf") or (kind == "slots" and capacity != int(capacity)):
        raise SettingInvalid(
            setting=f"{kind} of pool {name!r}",
            value=capacity,
            reason="it must be more than 0, and slots are whole",
            advice="Use 1 or more.",
        )
