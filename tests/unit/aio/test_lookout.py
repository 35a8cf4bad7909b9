"""When observers are told: before anybody who waits for a task goes on, however short or long it runs."""

import asyncio
import gc
import itertools
import weakref
from functools import partial
from typing import Any

import pytest

from laneway import aio


async def turns(number: int) -> int:
    for _ in range(number):
        await asyncio.sleep(0)
    return number


@pytest.mark.parametrize(
    ("lasts", "asked_after"), [*itertools.product(range(7), range(5))], ids=lambda number: str(number)
)
async def test_who_awaits_a_task_finds_its_end_told(recording: Any, lasts: int, asked_after: int) -> None:
    with aio.install_task_factory(observers=[recording]):
        tasks = [aio.create_task(turns(lasts), name=str(number)) for number in range(4)]
        await turns(asked_after)
        for task in tasks:
            waits = not task.done()  # else awaiting it goes straight on, and asyncio calls nobody back before
            assert await task == lasts
            assert ("finished", task.get_name(), None, "succeeded") in recording.calls or not waits
        await turns(1)
    assert [call[1] for call in recording.calls] == list("0123") * 2


@pytest.mark.parametrize("lasts", range(6))
async def test_callbacks_of_others_come_after_and_keep_their_order(recording: Any, lasts: int) -> None:
    told: list[str] = []

    def note(text: str, _: asyncio.Task[int]) -> None:
        told.append(f"{text} {len(recording.calls)}")

    with aio.install_task_factory(observers=[recording]):
        task = aio.create_task(turns(lasts))
        waits = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(task), 30))
        for text in ("first", "second", "first"):
            task.add_done_callback(partial(note, text))
        await waits
    seen = told[0].split()[1]
    assert told == [f"first {seen}", f"second {seen}", f"first {seen}"]
    assert ("finished", task.get_name(), None, "succeeded") in recording.calls[: int(seen)]


async def test_cancelling_who_awaits_cancels_what_is_awaited_as_ever(recording: Any) -> None:
    async def awaits(task: asyncio.Task[int]) -> int:
        return await task

    with aio.install_task_factory(observers=[recording]):
        inner = aio.create_task(turns(1_000_000), name="inner")
        outer = aio.create_task(awaits(inner), name="outer")
        await turns(10)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert inner.cancelled()
    assert recording.calls[2:] == [
        ("finished", "inner", None, "cancelled"),
        ("finished", "outer", None, "cancelled"),
    ]


async def test_tasks_that_an_observer_creates_are_told_of_too() -> None:
    ends: list[str] = []
    kept: list[asyncio.Task[int]] = []

    class Breeding:
        def created(self, task: asyncio.Task[Any], metadata: Any) -> None:
            """Nothing."""

        def finished(self, task: asyncio.Task[Any], metadata: Any, outcome: str, seconds: float) -> None:
            ends.append(task.get_name())
            if len(ends) < 5:
                kept.append(aio.create_task(turns(len(ends)), name=f"child {len(ends)}"))

    with aio.install_task_factory(observers=[Breeding()]):
        await aio.create_task(turns(0), name="first")
        await turns(30)
    assert ends == ["first", "child 1", "child 2", "child 3", "child 4"]


async def test_a_loop_with_nothing_to_look_after_is_left_alone(recording: Any) -> None:
    loop = asyncio.get_running_loop()
    with aio.install_task_factory(observers=[recording]):
        gate = asyncio.Event()
        task = aio.create_task(gate.wait())
        await turns(6)
        asked: list[Any] = []
        call_soon = loop.call_soon
        loop.call_soon = lambda *details, **more: asked.append(details) or call_soon(*details, **more)  # type: ignore[method-assign, func-returns-value]
        try:
            await turns(6)
        finally:
            loop.call_soon = call_soon  # type: ignore[method-assign]
        gate.set()
        await task
    assert all("look" not in getattr(callback, "__name__", "") for callback, *_ in asked)
    assert recording.calls[-1][-1] == "succeeded"


async def test_nothing_is_kept_of_tasks_that_were_told_of(recording: Any) -> None:
    with aio.install_task_factory(observers=[recording]):
        tasks = [aio.create_task(turns(number)) for number in range(6)]
        await asyncio.gather(*tasks)
        kept = [weakref.ref(task) for task in tasks]
        del tasks
        await turns(3)
        gc.collect()
        assert [one() for one in kept] == [None] * 6
