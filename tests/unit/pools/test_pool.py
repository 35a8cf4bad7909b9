"""`Pool` in coroutines and threads: nothing leaks on any way out."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from laneway import Pool
from laneway._core.errors import SettingInvalid
from laneway._core.pool_book import PoolTooSmall


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_more_than_its_slots_hold_it_at_once() -> None:
    pool, inside, most = Pool("p", slots=3), 0, 0

    async def use() -> None:
        nonlocal inside, most
        async with pool:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(use())
    assert most == 3
    report = pool.report()
    assert (report.used, report.holders, report.waiting, report.granted) == (0, 0, 0, 30)


async def test_a_cancelled_wait_leaves_the_line_and_a_cancelled_holder_gives_back() -> None:
    pool = Pool("p", slots=1)
    order: list[str] = []

    async def use(name: str) -> None:
        async with pool:
            order.append(name)
            await asyncio.Event().wait()

    first, second, third = (asyncio.create_task(use(name)) for name in "abc")
    await ticks()
    second.cancel()
    await ticks()
    assert pool.report().waiting == 1
    first.cancel()
    await ticks()
    assert order == ["a", "c"]
    third.cancel()
    await asyncio.wait([first, second, third])
    assert pool.report().used == 0


async def test_one_that_is_served_and_cancelled_in_the_same_moment_gives_back() -> None:
    pool = Pool("p", slots=1)
    holder = pool.hold()
    await holder.acquire()
    waiting = asyncio.create_task(pool.hold().acquire())
    await ticks()
    holder.release()  # serves the one who waits ...
    waiting.cancel()  # ... and it is cancelled before it runs
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.report().used == 0
    assert pool.hold().take()


async def test_an_error_inside_gives_back() -> None:
    pool = Pool("p", slots=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with pool:
                raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), pool.hold():
        raise ZeroDivisionError
    assert pool.report().used == 0


async def test_priority_goes_first_and_keys_take_turns() -> None:
    pool = Pool("p", slots=1)
    order: list[str] = []

    async def use(name: str, priority: int, key: str) -> None:
        async with pool.hold(priority=priority, key=key):
            order.append(name)

    async with pool:
        tasks = [
            asyncio.create_task(use(name, priority, key))
            for name, priority, key in [("a0", 0, "a"), ("a1", 0, "a"), ("a9", 9, "a"), ("b0", 0, "b")]
        ]
        await ticks()
    await asyncio.wait(tasks)
    assert order == ["a9", "b0", "a0", "a1"]


async def test_a_budget_is_shared_by_amount_and_the_first_in_line_is_not_overtaken() -> None:
    pool = Pool("memory", budget=100)
    order: list[int] = []

    async def use(amount: int) -> None:
        async with pool.hold(amount):
            order.append(amount)

    async with pool.hold(60):
        tasks = [asyncio.create_task(use(amount)) for amount in (80, 10)]
        await ticks()
        assert order == []
    await asyncio.wait(tasks)
    assert order == [80, 10]
    with pytest.raises(PoolTooSmall, match="100 at most, and 101"):
        await pool.hold(101).acquire()


async def test_a_rate_lets_so_many_through_in_any_period() -> None:
    pool = Pool("api", rate=5, per=0.05)
    times: list[float] = []

    async def use() -> None:
        async with pool:
            times.append(time.monotonic())

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(use())
    assert len(times) == 20
    assert all(when - began >= number // 5 * 0.05 for number, when in enumerate(times))


def test_a_rate_lets_threads_through_too() -> None:
    pool = Pool("api", rate=4, per=0.05)
    times: list[float] = []

    def use() -> None:
        with pool.hold():
            times.append(time.monotonic())

    began = time.monotonic()
    with ThreadPoolExecutor(6) as threads:
        for _ in range(12):
            threads.submit(use)
    times.sort()
    assert len(times) == 12
    assert all(when - began >= number // 4 * 0.05 for number, when in enumerate(times))


async def test_resizing_lets_more_in_at_once_and_refuses_what_can_never_be_served() -> None:
    pool = Pool("p", budget=2)
    async with pool.hold(2):
        small = asyncio.create_task(pool.hold(2).acquire())
        await ticks()
        pool.resize(4)
        await small
        large = asyncio.create_task(pool.hold(4).acquire())
        await ticks()
        pool.resize(3)
        with pytest.raises(PoolTooSmall):
            await large
        assert pool.report().used == 4


async def test_threads_and_coroutines_share_one_pool() -> None:
    pool, inside, most, lock = Pool("p", slots=2), 0, 0, threading.Lock()

    def enter() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)

    def leave() -> None:
        nonlocal inside
        with lock:
            inside -= 1

    def in_thread() -> None:
        for _ in range(50):
            with pool.hold():
                enter()
                leave()

    async def on_loop() -> None:
        for _ in range(50):
            async with pool:
                enter()
                await asyncio.sleep(0)
                leave()

    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(in_thread) for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(on_loop())
        for job in jobs:
            await asyncio.wrap_future(job)
    assert most <= 2
    assert pool.report().used == 0
    assert pool.report().granted == 400


def test_a_thread_that_waits_long_enough_gives_up_and_leaves_no_trace() -> None:
    pool = Pool("p", slots=1)
    with pool.hold():
        assert not pool.hold().acquire_blocking(timeout=0.01)
        assert pool.report().waiting == 0
    assert pool.hold().acquire_blocking(timeout=0.01)


async def test_waiting_in_a_plain_with_on_an_event_loop_is_refused() -> None:
    pool = Pool("p", slots=1)
    with pool.hold(), pytest.raises(RuntimeError, match="async with"), pool.hold():
        pass  # the first needs no waiting, the second would block the loop
    assert pool.report() == pool.report()._replace(used=0, waiting=0)


@pytest.mark.parametrize(
    "options", [{}, {"slots": 0}, {"slots": 1, "budget": 1}, {"rate": 1, "per": 0}, {"budget": float("inf")}]
)
def test_a_pool_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(SettingInvalid):
        Pool("p", **options)  # type: ignore[arg-type]
