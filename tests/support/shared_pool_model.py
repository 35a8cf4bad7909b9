"""Several engines' ledgers of one shared pool, driven through whatever may happen, and checked against a model."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import msgspec

from laneway import aio
from laneway._core.pool_book import PoolTooSmall
from laneway.engine.pool_ledger import PoolLedger
from laneway.ports import EngineCard

__all__ = ["AMOUNTS", "CALLS", "LEASE", "OPERATIONS", "Calls", "Model", "Watched"]

CALLS = ("arrive", "are lost", "reach nobody")
"""What becomes of calls between engines; of those that are lost, engines do not know that they are."""

OPERATIONS = ("ask", "ask", "ask", "give", "give", "cancel", "hurry", "crash", "freeze", "resize", "pass")
AMOUNTS = (1.0, 1.0, 2.0, 0.5, 3.0, 5.0)
CAPACITIES = (3.0, 2.0, 4.0, 1.0)
LEASE = 15.0
CRUMB = 1e-6


class Watched:
    """A store that tells whether anything is under way."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.busy = 0
        self.looks = self.handed = 0

    async def read(self, query: str, **arguments: Any) -> Any:
        self.looks += 1
        return await self._counted(self.store.read(query, **arguments))

    async def keep(self, *arguments: Any, **options: Any) -> Any:
        """What is handed over is written, whether somebody still waits for it or not."""
        self.handed += 1
        writing = aio.create_task(self._counted(self._late(*arguments, **options)), name="keep")
        return await asyncio.shield(writing)

    async def _late(self, *arguments: Any, **options: Any) -> Any:
        for _ in range(8):
            await asyncio.sleep(0)
        return await self.store.keep(*arguments, **options)

    async def _counted(self, work: Awaitable[Any]) -> Any:
        self.busy += 1
        try:
            return await work
        finally:
            self.busy -= 1


class Time:
    """A clock that only moves when told, and those who sleep by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def tell(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        await future

    def wake(self) -> None:
        due = [one for one in self._sleepers if one[0] <= self.now]
        self._sleepers = [one for one in self._sleepers if one[0] > self.now]
        for _, future in due:
            if not future.done():
                future.set_result(None)

    def next(self) -> float:
        return min((when for when, future in self._sleepers if not future.done()), default=float("inf"))


class Calls:
    """What engines call each other by."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._listeners: dict[str, Callable[[], None]] = {}

    def listen(self, engine: str, called: Callable[[], None] | None) -> None:
        if called is not None:
            self._listeners[engine] = called

    async def call(self, engines: Collection[str]) -> None:
        for engine in engines:
            if self._model.calls == "arrive" and engine not in self._model.away:
                self._listeners[engine]()

    def reaches(self, engine: str) -> bool:
        return self._model.calls != "reach nobody"


class Program:
    """One engine's ledger."""

    def __init__(self, model: Model, number: int, store: Watched) -> None:
        self.number = number
        self.store = store
        self.card = EngineCard(f"engine-{number}", "here", number, 1.0)
        self.ledger = PoolLedger(
            store,  # type: ignore[arg-type]  # only what a ledger uses
            "p",
            self.card,
            lambda other: other.id in model.dead,
            model.time.tell,
            model.line,
            per=model.per,
            lease=LEASE,
            sleep=model.time.sleep,
            ended=model.ended,
        )
        model.line.listen(self.card.id, self.ledger.look)


class Model:
    """What must hold: never over capacity, everybody served at last, nothing left behind.

    Args:
        stores: one for each engine.
        per: a rate's period; 0 for slots.
        calls: what becomes of calls between engines, one of `CALLS`.
    """

    def __init__(self, stores: Sequence[Watched], *, per: float, calls: str = "arrive") -> None:
        self.time = Time()
        self.per = per
        self.calls = calls
        self.line = Calls(self)
        self.away: set[str] = set()
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.capacity = CAPACITIES[0]
        self.dead: set[str] = set()
        self.held: dict[str, tuple[Program, float]] = {}
        self.taken: list[tuple[float, float]] = []
        self.waiting: dict[str, tuple[Program, asyncio.Task[None]]] = {}
        self.refused = 0
        self.errors: list[BaseException] = []
        self._number = 0
        self._stores = stores
        self.programs = [self._program(store) for store in stores]

    def _program(self, store: Watched) -> Program:
        self._number += 1
        return Program(self, self._number, store)

    async def go_through(self, operations: Sequence[tuple[str, int, int]]) -> None:
        for name, one, other in operations:
            getattr(self, f"_{name}")(one, other)
            await self.settled()
        await self._finish()

    # ---- what happens

    def _ask(self, one: int, other: int) -> None:
        program, amount = self.programs[one % len(self.programs)], AMOUNTS[other % len(AMOUNTS)]
        self._number += 1
        share = f"share-{self._number}"
        task = aio.create_task(self._taking(program, share, amount), name=share)
        task.add_done_callback(self._ended)
        self.waiting[share] = (program, task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _taking(self, program: Program, share: str, amount: float) -> None:
        try:
            await program.ledger.take(share, amount, lambda: self.capacity)
        except PoolTooSmall:
            assert amount > self.capacity
            self.refused += 1
            program.ledger.give(share)
            self.waiting.pop(share, None)
            return
        except asyncio.CancelledError:
            if program in self.programs:  # a program that crashed gives nothing back
                program.ledger.give(share)
            raise
        if program not in self.programs:
            return
        self.waiting.pop(share, None)
        now = self.time.now
        if self.per:
            self.taken.append((now, amount))
            lately = sum(much for when, much in self.taken if when > now - self.per)
            assert lately <= self.capacity + CRUMB
        else:
            self.held[share] = (program, amount)
            assert sum(much for _, much in self.held.values()) <= self.capacity + CRUMB

    def _give(self, one: int, other: int) -> None:
        if self.held:
            share = sorted(self.held)[one % len(self.held)]
            self.held.pop(share)[0].ledger.give(share)

    def _cancel(self, one: int, other: int) -> None:
        if self.waiting:
            share = sorted(self.waiting)[one % len(self.waiting)]
            self.waiting.pop(share)[1].cancel()

    def _hurry(self, one: int, other: int) -> None:
        """Somebody asks, and leaves at any point of it."""
        self._ask(one, other)
        share = f"share-{self._number}"

        def later(steps: int) -> None:
            if steps:
                asyncio.get_running_loop().call_soon(later, steps - 1)
            elif share in self.waiting:
                self.waiting.pop(share)[1].cancel()

        later(one + other)

    def _crash(self, one: int, other: int) -> None:
        """A program ends, and others see it."""
        program = self._away(one)
        self.dead.add(program.card.id)
        if not (end := self._end_of(program.card)).done():
            end.set_result(None)

    async def ended(self, card: EngineCard) -> None:
        await asyncio.shield(self._end_of(card))

    def _end_of(self, card: EngineCard) -> asyncio.Future[None]:
        return self._ends.setdefault(card.id, asyncio.get_running_loop().create_future())

    def _freeze(self, one: int, other: int) -> None:
        """A program is heard of no more, and others cannot see why."""
        self._away(one)

    def _away(self, one: int) -> Program:
        place = one % len(self.programs)
        program = self.programs[place]
        self.away.add(program.card.id)
        self.programs[place] = self._program(program.store)
        for share in [share for share, (its, _) in self.waiting.items() if its is program]:
            self.waiting.pop(share)[1].cancel()
        self.held = {share: pair for share, pair in self.held.items() if pair[0] is not program}
        if program.ledger._heart is not None:
            program.ledger._heart.cancel()
        return program

    def _resize(self, one: int, other: int) -> None:
        self.capacity = CAPACITIES[one % len(CAPACITIES)]
        for program in self.programs:
            program.ledger.look()

    def _pass(self, one: int, other: int) -> None:
        self.time.now += (0.01, 0.3, 1.0, 4.0)[one % 4]
        self.time.wake()

    # ---- waiting

    async def settled(self) -> None:
        """Until nothing goes on any more before the clock moves."""
        quiet = 0
        while quiet < 20:
            busy = any(store.busy for store in self._stores)
            await asyncio.sleep(0.0005 if busy else 0)
            quiet = 0 if busy else quiet + 1
        for error in self.errors:
            raise error

    async def _finish(self) -> None:
        """Everybody gives back; then everybody who waits is served, and nothing is left behind."""
        end = self.time.now + (4 + len(self.waiting)) * LEASE + 40 * (self.per or 1.0)
        while self.waiting or self.held:
            for share in list(self.held):
                self.held.pop(share)[0].ledger.give(share)
            await self.settled()
            if self.waiting:
                moment = min(self.time.next(), self.time.now + 1.0)
                assert moment <= end, f"{len(self.waiting)} wait for ever"
                self.time.now = max(moment, self.time.now + 0.001)
                self.time.wake()
                await self.settled()
        for program in self.programs:
            await program.ledger.close()
        await self.settled()
        (document,) = await self._stores[0].store.read("documents", kind="pool", name="p") or [
            {"body": b"{}"}
        ]
        left = [one[1]["id"] for one in msgspec.json.decode(document["body"]).get("shares", {}).values()]
        assert set(left) <= self.away, "who is there and has given everything back has something"
        self.time.now += 2 * LEASE + self.per
        last = self._program(self._stores[0])
        with contextlib.suppress(PoolTooSmall):
            await last.ledger.take("last", 0.5, lambda: self.capacity)
        last.ledger.give("last")
        await last.ledger.close()
        (document,) = await self._stores[0].store.read("documents", kind="pool", name="p")
        assert b"shares" not in document["body"]
