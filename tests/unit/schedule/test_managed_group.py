"""`ManagedTaskGroup`: named children, bounded, each with its own failure."""

import asyncio

import pytest

from laneway import aio
from laneway.engine.managed_group import ManagedTaskGroup

ended: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ended.clear()


async def work(name: str, steps: int = 3) -> str:
    try:
        for _ in range(steps):
            await asyncio.sleep(0)
    finally:
        ended.append(name)
    return name


async def fail(name: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(name)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_child_that_fails_leaves_its_siblings_alone_and_the_group_tells_at_the_end() -> None:
    group = ManagedTaskGroup("jobs")

    async def whole() -> None:
        async with group:
            group.start(fail("a"), name="a")
            group.start(work("b", 20), name="b")
            group.start(fail("c"), name="c")

    with pytest.raises(ExceptionGroup, match="2 of the children of 'jobs' failed") as caught:
        await whole()
    assert ended == ["b"]
    assert [str(error) for error in caught.value.exceptions] == ["a", "c"]
    assert list(group.errors) == ["a", "c"]


async def test_failures_can_be_collected_only() -> None:
    async with ManagedTaskGroup(raises=False) as group:
        group.start(fail("a"), name="a")
    assert str(group.errors["a"]) == "a"


async def test_whoever_awaits_a_child_gets_its_failure() -> None:
    async with ManagedTaskGroup(raises=False) as group:
        with pytest.raises(ValueError, match="a"):
            await group.start(fail("a"), name="a")


async def test_siblings_are_cancelled_when_asked() -> None:
    async with ManagedTaskGroup(cancel_siblings=True, raises=False) as group:
        group.start(for_ever(), name="waits")
        group.start(fail("a"), name="a")
    assert group.cancelled == ["waits"]
    assert list(group.errors) == ["a"]


async def test_no_more_children_run_at_once_than_the_limit() -> None:
    inside = most = 0

    async def counted() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    async with ManagedTaskGroup(limit=3) as group:
        for number in range(20):
            group.start(counted(), name=str(number))
        assert len(group.running) == 20
    assert most == 3
    assert group.running == []


async def test_one_child_can_be_cancelled_alone() -> None:
    async with ManagedTaskGroup() as group:
        waiting = group.start(for_ever(), name="waits")
        group.start(work("b"), name="b")
        await asyncio.sleep(0)
        assert group.cancel("waits")
        assert not group.cancel("nobody")
    assert waiting.cancelled()
    assert group.cancelled == ["waits"]
    assert ended == ["b"]


async def test_cancelling_the_group_cancels_all_and_waits_for_them_even_those_that_never_began() -> None:
    async def whole() -> None:
        async with ManagedTaskGroup(limit=1) as group:
            for number in range(3):
                group.start(work(str(number), 1000), name=str(number))

    task = asyncio.create_task(whole())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["0"]  # the others were closed unstarted, without a warning


async def test_an_error_of_the_body_goes_on_as_it_is_after_the_children_ended() -> None:
    async def whole() -> None:
        async with ManagedTaskGroup() as group:
            group.start(work("a", 1000), name="a")
            await asyncio.sleep(0)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await whole()
    assert ended == ["a"]


async def test_children_have_names_of_their_own_and_metadata() -> None:
    seen: list[object] = []

    async def look() -> None:
        about = aio.current_metadata()
        seen.append(None if about is None else about.operation_name)

    installation = aio.install_task_factory(asyncio.get_running_loop())
    try:
        async with ManagedTaskGroup() as group:
            group.start(look(), name="a", metadata={"operation_name": "nightly"})
            with pytest.raises(ValueError, match="has a child 'a' already"):
                group.start(look(), name="a")
    finally:
        installation.remove()
    assert seen == ["nightly"]


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ManagedTaskGroup(limit=0)
