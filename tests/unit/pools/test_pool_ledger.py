"""A pool shared by several engines against a model: asks, gifts, cancellations, deaths and resizes in any order."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_pool_model import CALLS, OPERATIONS, Model, Watched

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
@given(operations=operations, calls=st.sampled_from(CALLS))
def test_never_over_capacity_never_leaked_and_nobody_waits_for_ever(
    per: float, operations: list[tuple[str, int, int]], calls: str
) -> None:
    async def drive() -> None:
        async with asyncio.timeout(50):
            await Model(await stores(3), per=per, calls=calls).go_through(operations)

    asyncio.run(drive())


@pytest.mark.parametrize("steps", range(16))
@pytest.mark.parametrize("per", [0.0, 10.0], ids=["given back", "a rate"])
async def test_who_leaves_while_the_store_writes_leaves_nothing_behind(steps: int, per: float) -> None:
    one, other = min(steps, 8), max(0, steps - 8)
    await Model(await stores(3), per=per).go_through([("hurry", one, other)])
    full = [("ask", 0, 0), ("ask", 1, 0), ("ask", 2, 0)]
    await Model(await stores(3), per=per).go_through([*full, ("hurry", one, other)])


async def full(calls: str) -> tuple[Model, asyncio.Task[None]]:
    """The one slot is held by the first of two engines, and the second waits for it."""
    model = Model(await stores(2), per=0.0, calls=calls)
    await model.programs[0].ledger.take("held", 1.0, lambda: 1.0)
    waiting = asyncio.ensure_future(model.programs[1].ledger.take("wanted", 1.0, lambda: 1.0))
    await model.settled()
    return model, waiting


async def pass_time(model: Model, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        model.time.now += 0.1
        model.time.wake()
        await model.settled()


async def end(model: Model) -> None:
    model.programs[1].ledger.give("wanted")
    for program in model.programs:
        await program.ledger.close()


async def test_what_is_given_back_reaches_everybody_who_waits_though_no_time_passes() -> None:
    model = Model(await stores(3), per=0.0)
    ledgers = [one.ledger for one in model.programs]
    await ledgers[0].take("held", 1.0, lambda: 1.0)
    places = {"first": ledgers[1], "second": ledgers[2], "third": ledgers[1], "own": ledgers[0]}
    waiting = {
        name: asyncio.ensure_future(ledger.take(name, 1.0, lambda: 1.0)) for name, ledger in places.items()
    }
    ledger, name = ledgers[0], "held"
    while waiting:
        await model.settled()
        assert not any(task.done() for task in waiting.values())
        ledger.give(name)
        await model.settled()
        (name,) = [name for name, task in waiting.items() if task.done()]
        await waiting.pop(name)
        ledger = places[name]
    assert model.time.now == 1000.0
    ledger.give(name)
    for one in ledgers:
        await one.close()


async def test_while_calls_arrive_nobody_looks_again_and_again() -> None:
    model, waiting = await full("arrive")
    (_, store) = model._stores
    looks = store.looks
    await pass_time(model, 4.5)
    assert store.looks == looks
    await pass_time(model, 1.0)  # its note was renewed, and it looked in case a call was lost
    assert looks < store.looks <= looks + 3
    assert not waiting.done()
    model.programs[0].ledger.give("held")
    await model.settled()
    assert waiting.done()
    await end(model)


async def test_who_waits_sees_the_holders_process_end_though_no_time_passes() -> None:
    model, waiting = await full("are lost")
    model._crash(0, 0)
    await model.settled()
    assert waiting.done()
    await end(model)


async def test_a_lost_call_costs_no_more_than_the_next_renewal() -> None:
    model, waiting = await full("are lost")
    model.programs[0].ledger.give("held")
    await pass_time(model, 4.5)
    assert not waiting.done()
    await pass_time(model, 1.0)
    assert waiting.done()
    await end(model)


async def test_where_calls_reach_nobody_who_waits_looks_every_now_and_then() -> None:
    model, waiting = await full("reach nobody")
    (_, store) = model._stores
    await pass_time(model, 1.5)
    assert 5 <= store.looks <= 40
    model.programs[0].ledger.give("held")
    await pass_time(model, 0.6)
    assert waiting.done()
    await end(model)


async def test_more_room_is_seen_at_once_where_it_was_made() -> None:
    model, waiting = await full("arrive")
    waiting.cancel()
    ledger, room = model.programs[1].ledger, 1.0
    ledger.give("wanted")
    waiting = asyncio.ensure_future(ledger.take("wanted", 1.0, lambda: room))
    await model.settled()
    room = 2.0
    ledger.look()
    await model.settled()
    assert waiting.done()
    await end(model)


async def test_a_rate_is_waited_for_until_it_is_there_and_not_asked_in_between() -> None:
    model = Model(await stores(2), per=10.0)
    one, two = (program.ledger for program in model.programs)
    await one.take("first", 1.0, lambda: 1.0)
    waiting = asyncio.ensure_future(two.take("second", 1.0, lambda: 1.0))
    await model.settled()
    looks = model._stores[1].looks
    await pass_time(model, 0.9)
    assert model._stores[1].looks == looks
    await pass_time(model, 9.2)
    assert waiting.done()
    await one.close()
    await two.close()


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
