"""Limits on runs: never over the limit without need, and never locked, whatever is nested in whatever."""

import asyncio
import logging
from collections import Counter
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laneway._core.errors import Backpressure
from laneway.engine.gates import Gate
from laneway.engine.limits import limits_from
from laneway.engine.run_limits import RunLimits

type Tree = tuple[str, int, list["Tree"]]
"""A run: its workflow, the value of its key, and the runs nested in it."""

trees: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.just([])),
    lambda inner: st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.lists(inner, max_size=3)),
    max_leaves=6,
)


def limits_of(**given: int) -> RunLimits:
    return RunLimits(limits_from({name.replace("_", ":"): most for name, most in given.items()}))


class World:
    """Runs that enter, start what is nested in them all at once, wait for it, and leave."""

    def __init__(self, limits: RunLimits, *, room: int) -> None:
        self.limits = limits
        self.room = Gate(room)
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._ids = count()

    async def run(self, tree: Tree, above: str | None = None, *, is_taken_up: bool = False) -> None:
        workflow, value, nested = tree
        run = f"run-{next(self._ids)}"
        context = {"tenant": msgspec.json.encode(value)}
        is_needed = above is not None or is_taken_up
        if is_taken_up:
            self.room.inside += 1
        entry = await self.limits.enter(run, above, workflow, context, is_needed=is_needed)
        if not is_needed:
            await self.limits.take_room(entry, self.room, priority=0, key="")
        elif above is not None:
            self.room.inside += 1
        self.inside[workflow] += 1
        self.most[workflow] = max(self.most[workflow], self.inside[workflow])
        async with asyncio.TaskGroup() as group:
            for one in nested:
                group.create_task(self.run(one, run))
            await asyncio.sleep(0)
        self.inside[workflow] -= 1
        self.room.release()
        self.limits.leave(entry)

    def is_clean(self) -> bool:
        limits = self.limits
        left = (limits._entries, limits._places, limits._waiting, limits._below, limits._orphans)
        return not any(left) and self.room.inside == 0


@settings(max_examples=300, deadline=None)
@given(
    forest=st.lists(st.tuples(trees, st.booleans()), max_size=6),
    a=st.integers(1, 2),
    tenant=st.integers(1, 3),
    room=st.integers(1, 3),
)
def test_whatever_is_nested_in_whatever_everybody_comes_to_an_end(
    forest: list[tuple[Tree, bool]], a: int, tenant: int, room: int
) -> None:
    async def drive() -> World:
        world = World(limits_of(workflow_a=a, workflow_b=1, key_tenant=tenant), room=room)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for tree, is_taken_up in forest:
                group.create_task(world.run(tree, is_taken_up=is_taken_up))
        return world

    logging.disable(logging.WARNING)
    try:
        assert asyncio.run(drive()).is_clean()
    finally:
        logging.disable(logging.NOTSET)


@settings(max_examples=100, deadline=None)
@given(
    forest=st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 4)), max_size=8), most=st.integers(1, 3)
)
def test_nested_runs_keep_to_their_limit_where_nobody_waits_in_a_circle(
    forest: list[tuple[str, int]], most: int
) -> None:
    async def drive() -> World:
        world = World(limits_of(workflow_a=most, workflow_x=2), room=100)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for workflow, children in forest:
                tree: Tree = (workflow, 1, [("a", 1, [("leaf", 1, [])])] * children)
                group.create_task(world.run(tree))
        return world

    world = asyncio.run(drive())
    assert world.most["a"] <= most
    assert world.most["x"] <= 2
    assert world.is_clean()


async def test_one_of_a_circle_goes_on_over_the_limit_and_the_log_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(limits_of(workflow_a=1, workflow_b=1), room=10)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(world.run(("a", 1, [("b", 1, [])])))
        group.create_task(world.run(("b", 1, [("a", 1, [])])))
    (line,) = [one.message for one in caplog.records]
    assert "goes on over the limit workflow:" in line
    assert world.is_clean()


async def test_those_who_only_stand_behind_a_circle_keep_to_the_limit() -> None:
    world = World(limits_of(workflow_a=1, workflow_b=1), room=100)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(world.run(("outer", 1, [("a", 1, [])])))
        group.create_task(world.run(("a", 1, [("b", 1, [])])))
        group.create_task(world.run(("b", 1, [("a", 1, [])])))
    assert sorted((world.most["a"], world.most["b"])) == [1, 2]
    assert world.is_clean()


async def test_a_parent_that_is_taken_up_after_its_child_does_not_lock_it() -> None:
    """Both are recorded: the child asks first, in vain, then the parent is let in before it."""
    limits = limits_of(workflow_a=1)
    holder = await limits.enter("holder", None, "a", {})
    parent = asyncio.ensure_future(limits.enter("parent", None, "a", {}, priority=9, is_needed=True))
    child = asyncio.ensure_future(limits.enter("child", "parent", "a", {}, is_needed=True))
    for _ in range(3):
        await asyncio.sleep(0)
    limits.leave(holder)
    async with asyncio.timeout(20):
        entries = [await parent, await child]
    for one in entries:
        limits.leave(one)
    assert not limits._entries
    assert not limits._below


async def test_a_child_known_before_its_parent_counts_below_it_once_that_comes() -> None:
    limits = limits_of(workflow_a=1)
    holder = await limits.enter("holder", None, "a", {})
    child = asyncio.ensure_future(limits.enter("child", "parent", "a", {}, is_needed=True))
    await asyncio.sleep(0)
    parent = asyncio.ensure_future(limits.enter("parent", None, "a", {}, priority=9, is_needed=True))
    await asyncio.sleep(0)
    limits.leave(holder)
    async with asyncio.timeout(20):
        entries = [await parent, await child]
    for one in entries:
        limits.leave(one)
    assert not limits._entries
    assert not limits._below


async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    limits = limits_of(workflow_a=1, key_tenant=1)
    first = await limits.enter("first", None, "a", {"tenant": b"1"})
    second = asyncio.ensure_future(limits.enter("second", None, "a", {"tenant": b"2"}))
    third = asyncio.ensure_future(limits.enter("third", "first", "b", {"tenant": b"2"}))
    for _ in range(3):
        await asyncio.sleep(0)
    for one in (second, third):
        one.cancel()
    await asyncio.wait([second, third])
    with pytest.raises(Backpressure):
        await limits.enter("fourth", None, "a", {}, wait=False)
    assert limits.enter_now("fifth", None, "a", {}) is None
    limits.leave(first)
    assert not limits._entries
    assert not limits._places
    assert not limits._below
