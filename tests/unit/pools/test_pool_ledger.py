"""A pool shared by several engines against a model: asks, gifts, cancellations, deaths and resizes in any order."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_pool_model import OPERATIONS, Model, Watched

from laneway.engine.pool_ledger import PoolLedger
from laneway.ports import EngineCard
from laneway.stores.memory import MemoryStore

operations = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=60
)


async def stores(number: int) -> list[Watched]:
    first = MemoryStore()
    found = [first, *(first.beside() for _ in range(number - 1))]
    for place, store in enumerate(found):
        await store.open(EngineCard(f"store-{place}", "here", 1, 1.0), lease=1e6)
    return [Watched(store) for store in found]


@pytest.mark.parametrize("per", [0.0, 1.0, 10.0], ids=["given back", "per second", "per ten seconds"])
@settings(max_examples=60, deadline=None)
@given(operations=operations)
def test_never_over_capacity_never_leaked_and_nobody_waits_for_ever(
    per: float, operations: list[tuple[str, int, int]]
) -> None:
    async def drive() -> None:
        async with asyncio.timeout(50):
            await Model(await stores(3), per=per).go_through(operations)

    asyncio.run(drive())


async def test_who_has_waited_long_is_not_overtaken_for_ever() -> None:
    """Two of three are always held by somebody else for a moment; one who wants all three would wait for ever."""
    (store, other) = await stores(2)
    moment = 1000.0

    async def now() -> float:
        return moment

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += 0.05
        await asyncio.sleep(0)

    def ledger(store: Watched, name: str) -> PoolLedger:
        card = EngineCard(name, "here", 1, 1.0)
        return PoolLedger(store, "p", card, lambda _: False, now, sleep=sleep)  # type: ignore[arg-type]

    large, small = ledger(store, "large"), ledger(other, "small")
    served = asyncio.Event()

    async def wants_all() -> None:
        await large.take("all", 3.0, lambda: 3.0)
        served.set()

    async def takes_turns(name: str) -> None:
        number = 0
        while not served.is_set():
            number += 1
            share = f"{name}-{number}"
            taking = asyncio.ensure_future(small.take(share, 1.0, lambda: 3.0))
            await asyncio.wait([taking, ending], return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
            await asyncio.sleep(0)
            small.give(share)

    ending = asyncio.ensure_future(served.wait())
    turns = [asyncio.ensure_future(takes_turns(name)) for name in "ab"]
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(wants_all())
    async with asyncio.timeout(20):
        await asking
    for one in turns:
        await one
    await large.close()
    await small.close()
