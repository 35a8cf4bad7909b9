"""The task factory: installing, removing, composing, observing and inheriting."""

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from laneway import aio
from laneway.aio import TaskMetadata, _current

SEND = TaskMetadata(operation_name="send", correlation_id="42")
COUNT = TaskMetadata(operation_name="count")


async def nothing() -> None: ...


async def seen() -> TaskMetadata | None:
    return aio.current_metadata()


async def broken() -> None:
    raise ValueError("broken")


async def forever() -> None:
    await asyncio.Event().wait()


def errors_of(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What reaches the loop's exception handler from now on."""
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    return errors


# Observing


async def test_observers_see_every_task_and_its_end(recording: Any) -> None:
    with aio.install_task_factory(observers=[recording]):
        await aio.create_task(nothing(), name="a", metadata=SEND)
        with pytest.raises(ValueError, match="broken"):
            await asyncio.create_task(broken(), name="b")
        stopped = aio.create_task(forever(), name="c", metadata=COUNT)
        await asyncio.sleep(0)
        stopped.cancel()
        await asyncio.wait([stopped])
        unstarted = aio.create_task(forever(), name="d")
        unstarted.cancel()
        await asyncio.wait([unstarted])
        await asyncio.gather(nothing())
    assert recording.calls[:8] == [
        ("created", "a", SEND),
        ("finished", "a", SEND, "succeeded"),
        ("created", "b", None),
        ("finished", "b", None, "failed"),
        ("created", "c", COUNT),
        ("finished", "c", COUNT, "cancelled"),
        ("created", "d", None),
        ("finished", "d", None, "cancelled"),
    ]
    assert [call[0] for call in recording.calls[8:]] == ["created", "finished"]
    assert all(seconds > 0 for seconds in recording.seconds)


async def test_an_eager_task_that_ends_at_once_is_reported_at_once(recording: Any) -> None:
    with aio.install_task_factory(observers=[recording]):
        for coro in (nothing(), broken()):
            task = aio.create_task(coro, name="a", metadata=SEND, eager_start=True)
            await asyncio.wait([task])
            task.exception()
    assert [call[-1] for call in recording.calls] == [SEND, "succeeded", SEND, "failed"]


async def test_the_duration_is_the_time_from_creation_to_end(recording: Any) -> None:
    loop = asyncio.get_running_loop()
    with aio.install_task_factory(observers=[recording]):
        before = loop.time()
        gate = asyncio.Event()
        task = aio.create_task(gate.wait(), eager_start=True)
        loop.call_later(0.05, gate.set)
        await task
        took = loop.time() - before
    assert 0.04 < recording.seconds[0] <= took


async def test_an_observer_that_raises_breaks_nothing_and_is_reported(recording: Any) -> None:
    class Broken:
        def created(self, task: Any, metadata: Any) -> None:
            raise RuntimeError("in created")

        def finished(self, task: Any, metadata: Any, outcome: Any, seconds: float) -> None:
            raise asyncio.CancelledError("in finished")

    errors = errors_of(asyncio.get_running_loop())
    with aio.install_task_factory(observers=[Broken(), recording]):
        for eager in (None, True):
            assert await aio.create_task(seen(), metadata=SEND, eager_start=eager) == SEND
    assert [str(error["exception"]) for error in errors] == ["in created", "in finished"] * 2
    assert all("Broken" in error["message"] and error["task"].done() for error in errors)
    assert len(recording.calls) == 4


async def test_observing_does_not_hide_a_failure_that_nobody_looked_at(recording: Any) -> None:
    errors = errors_of(asyncio.get_running_loop())
    with aio.install_task_factory(observers=[recording]):
        task = aio.create_task(broken())
        await asyncio.wait([task])
        del task
        gc.collect()
    assert [error["message"] for error in errors] == ["Task exception was never retrieved"]


async def test_an_observer_is_told_of_the_ends_of_those_it_saw_begin_only(recording: Any) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    late = type(recording)()
    with aio.install_task_factory(loop, [recording]):
        task = aio.create_task(gate.wait(), name="a")
        with aio.install_task_factory(loop, [late]):
            gate.set()
            await task
    assert [call[0] for call in recording.calls] == ["created", "finished"]
    assert late.calls == []


async def test_a_removed_observer_is_told_nothing_more(recording: Any) -> None:
    other = type(recording)()
    with aio.install_task_factory(observers=[other]):
        with aio.install_task_factory(observers=[recording]):
            task = aio.create_task(nothing())
        await task
    assert [call[0] for call in recording.calls] == ["created"]
    assert [call[0] for call in other.calls] == ["created", "finished"]


async def test_an_observer_that_two_bring_is_told_once(recording: Any) -> None:
    first = aio.install_task_factory(observers=[recording])
    second = aio.install_task_factory(observers=[recording, recording])
    await aio.create_task(nothing())
    first.remove()
    await aio.create_task(nothing())
    second.remove()
    await aio.create_task(nothing())
    assert [call[0] for call in recording.calls] == ["created", "finished"] * 2


def test_what_is_no_observer_is_refused() -> None:
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(TypeError, match="created and finished"):
            aio.install_task_factory(loop, [object()])  # type: ignore[list-item]
        assert loop.get_task_factory() is None
    finally:
        loop.close()


def test_a_loop_without_task_factories_is_refused() -> None:
    class Minimal:
        """What trio and others hand out where an event loop is asked for."""

    with pytest.raises(TypeError, match="no task factories"):
        aio.install_task_factory(Minimal())  # type: ignore[arg-type]


def test_without_a_loop_installing_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.install_task_factory()


# Installing, removing, composing


async def test_removing_restores_what_was_there() -> None:
    loop = asyncio.get_running_loop()
    for before in (
        None,
        asyncio.eager_task_factory,
        lambda loop, coro, **k: asyncio.Task(coro, loop=loop, **k),
    ):
        loop.set_task_factory(before)
        installation = aio.install_task_factory()
        assert loop.get_task_factory() is not before
        states = [installation.installed]
        installation.remove()
        installation.remove()
        states.append(installation.installed)
        assert states == [True, False]
        assert loop.get_task_factory() is before
    loop.set_task_factory(None)


async def test_the_last_of_several_removes_the_factory_in_whatever_order() -> None:
    loop = asyncio.get_running_loop()
    for first_out in (0, 1, 2):
        shares = [aio.install_task_factory(loop) for _ in range(3)]
        shares.pop(first_out).remove()
        for share in shares:
            assert await aio.create_task(seen(), metadata=SEND) == SEND
            share.remove()
        assert loop.get_task_factory() is None
        assert await aio.create_task(seen(), metadata=SEND) is None


async def test_removed_beneath_another_factory_it_passes_on_and_leaves_at_the_first_chance(
    recording: Any,
) -> None:
    loop = asyncio.get_running_loop()
    installation = aio.install_task_factory(loop, [recording])
    ours = loop.get_task_factory()
    assert ours is not None

    def on_top(loop: Any, coro: Any, **keywords: Any) -> Any:
        return ours(loop, coro, **keywords)

    loop.set_task_factory(on_top)
    assert await aio.create_task(seen(), metadata=SEND) == SEND
    installation.remove()
    assert loop.get_task_factory() is on_top
    told = len(recording.calls)
    task = aio.create_task(seen(), metadata=SEND)
    assert task.get_name().startswith("Task-")
    assert await task is None
    assert len(recording.calls) == told
    loop.set_task_factory(ours)  # whoever was on top restores what it found
    await aio.create_task(nothing(), metadata=SEND)
    assert loop.get_task_factory() is None


async def test_an_idle_factory_that_is_found_on_top_works_again(recording: Any) -> None:
    loop = asyncio.get_running_loop()
    first = aio.install_task_factory(loop)
    ours = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)
    first.remove()
    loop.set_task_factory(ours)
    with aio.install_task_factory(loop, [recording]):
        assert loop.get_task_factory() is ours
        assert await aio.create_task(seen(), metadata=SEND) == SEND
    assert loop.get_task_factory() is None
    assert len(recording.calls) == 2


def custom(loop: Any, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **keywords)


def old_fashioned(loop: Any, coro: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop)


def naming(loop: Any, coro: Any, *, metadata: Any = None, **keywords: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coro, loop=loop, **keywords)
    task.mark = metadata  # type: ignore[attr-defined]
    return task


class Special(asyncio.Task[Any]):
    """A task class of the host program's."""


@pytest.mark.parametrize(
    "beneath",
    [
        asyncio.eager_task_factory,
        asyncio.create_eager_task_factory(Special),
        custom,
        old_fashioned,
        naming,
    ],
    ids=["eager", "eager of a subclass", "any keywords", "no keywords", "knows metadata"],
)
async def test_it_works_on_top_of_another_factory(beneath: Any, recording: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(beneath)
    with aio.install_task_factory(loop, [recording]):
        task = aio.create_task(seen(), metadata=SEND)
        assert task.get_name() == "send [42]"
        assert aio.task_metadata(task) == SEND
        assert await task == SEND
        assert aio.current_metadata() is None
        async with aio.TaskGroup() as group:
            child = group.create_task(parent_of(seen), metadata=COUNT)
        assert child.result() == (COUNT, COUNT)
        assert await aio.create_task(seen()) is None
        if beneath is naming:
            assert task.mark == SEND  # type: ignore[attr-defined]
    assert [call[0] for call in recording.calls].count("finished") == 4
    assert all(call[2] in (SEND, COUNT, None) for call in recording.calls)
    assert loop.get_task_factory() is beneath
    loop.set_task_factory(None)


async def test_an_eager_factory_beneath_still_starts_eagerly(recording: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    with aio.install_task_factory(loop, [recording]):
        assert aio.create_task(nothing(), metadata=SEND).done()
        late = aio.create_task(nothing(), eager_start=False)
        assert not late.done()
        await late
    assert [call[0] for call in recording.calls] == ["created", "finished"] * 2


async def test_a_keyword_of_the_factory_beneath_reaches_it() -> None:
    kept: list[Any] = []

    def colourful(loop: Any, coro: Any, *, colour: str = "", **keywords: Any) -> asyncio.Task[Any]:
        kept.append(colour)
        return asyncio.Task(coro, loop=loop, **keywords)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(colourful)
    with aio.install_task_factory(loop):
        task = asyncio.create_task(seen(), colour="red", metadata=SEND)  # type: ignore[call-arg]
        assert await task == SEND
    assert kept == ["red"]


async def test_a_loop_with_a_create_task_of_its_own_keeps_seeing_the_calls(recording: Any) -> None:
    calls: list[dict[str, Any]] = []

    class Counting(asyncio.SelectorEventLoop):
        def create_task(self, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
            calls.append(keywords)
            return super().create_task(coro, **keywords)

    async def main() -> TaskMetadata | None:
        with aio.install_task_factory(observers=[recording]):
            return await aio.create_task(seen(), metadata=SEND)

    def run() -> TaskMetadata | None:
        with asyncio.Runner(loop_factory=Counting) as runner:
            return runner.run(main())

    assert await asyncio.to_thread(run) == SEND
    assert {"metadata": SEND} in calls
    assert len(recording.calls) == 2


# Inheriting


async def parent_of(
    child: Callable[[], Coroutine[Any, Any, Any]],
) -> tuple[TaskMetadata | None, TaskMetadata | None]:
    return aio.current_metadata(), await asyncio.create_task(child())


async def test_children_inherit_and_siblings_do_not() -> None:
    with aio.install_task_factory():
        assert await aio.create_task(parent_of(seen), metadata=SEND) == (SEND, SEND)
        assert await aio.create_task(seen()) is None

        async def grand() -> Any:
            return await asyncio.gather(seen(), aio.create_task(seen(), metadata=COUNT), seen())

        assert await aio.create_task(grand(), metadata=SEND) == [SEND, COUNT, SEND]


async def test_it_follows_into_callbacks_and_threads() -> None:
    async def around() -> tuple[Any, Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        loop.call_soon(lambda: future.set_result(aio.current_metadata()))
        return await future, await asyncio.to_thread(aio.current_metadata)

    with aio.install_task_factory():
        assert await aio.create_task(around(), metadata=SEND) == (SEND, SEND)
    assert aio.current_metadata() is None


async def test_an_eager_child_does_not_change_what_its_parent_shows() -> None:
    async def child(parent: asyncio.Task[Any]) -> Any:
        return aio.task_metadata(parent), aio.current_metadata()

    async def parent() -> Any:
        me = asyncio.current_task()
        assert me is not None
        return await aio.create_task(child(me), metadata=COUNT, eager_start=True)

    with aio.install_task_factory():
        assert await aio.create_task(parent(), metadata=SEND) == (SEND, COUNT)


@pytest.mark.parametrize("eager", [None, True])
@pytest.mark.parametrize("beneath", [None, custom])
async def test_a_context_that_was_handed_over_is_not_written_into(beneath: Any, eager: bool | None) -> None:
    """Tasks that share one context each have their own metadata, and so have their children."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(beneath)
    shared = contextvars.copy_context()
    before = dict(shared)
    with aio.install_task_factory(loop):
        one = aio.create_task(parent_of(seen), context=shared, metadata=SEND, eager_start=eager)
        assert aio.task_metadata(one) == SEND
        other = aio.create_task(parent_of(seen), context=shared, metadata=COUNT)
        bare = aio.create_task(parent_of(seen), context=shared)
        assert list(await asyncio.gather(one, other, bare)) == [(SEND, SEND), (COUNT, COUNT), (None, None)]
        assert (aio.task_metadata(one), aio.task_metadata(other)) == (SEND, COUNT)
    assert dict(shared) == before
    loop.set_task_factory(None)


async def test_nothing_is_kept_of_a_task_that_is_gone() -> None:
    with aio.install_task_factory():
        task = aio.create_task(seen(), context=contextvars.copy_context(), metadata=SEND)
        assert await task == SEND
        gone = weakref.ref(task)
        del task
        await asyncio.sleep(0)  # the loop still holds the callback that woke us
        gc.collect()
    assert gone() is None
    assert not _current.PINNED


async def test_a_failed_eager_task_is_freed_without_the_cycle_collector(recording: Any) -> None:
    async def fail() -> None:
        raise ValueError

    def create() -> weakref.ref[Any]:
        task = aio.create_task(fail(), metadata=SEND, eager_start=True)
        assert isinstance(task.exception(), ValueError)
        reference = weakref.ref(task)
        try:
            return reference
        finally:
            del task

    gc.collect()
    gc.disable()
    try:
        with aio.install_task_factory():
            assert create()() is None
    finally:
        gc.enable()


async def test_derived_metadata_keeps_what_is_not_replaced() -> None:
    async def derive() -> TaskMetadata:
        return aio.derived_metadata(operation_name="sub", priority_hint=2)

    with aio.install_task_factory():
        assert await aio.create_task(derive(), metadata=SEND) == TaskMetadata(
            operation_name="sub", correlation_id="42", priority_hint=2
        )
    assert aio.derived_metadata(operation_name="sub") == TaskMetadata(operation_name="sub")
    with pytest.raises(aio.MetadataValueError):
        aio.derived_metadata(correlation_id="")


# Threads


def test_two_loops_in_two_threads_do_not_mix(recording: Any) -> None:
    kind = type(recording)
    start = threading.Barrier(4)
    results: dict[int, tuple[Any, list[Any]]] = {}

    def work(number: int) -> None:
        observer = kind()
        mine = TaskMetadata(operation_name="work", correlation_id=str(number))

        async def main() -> Any:
            start.wait(10)
            found: list[Any] = []
            for _ in range(50):
                with aio.install_task_factory(observers=[observer]):
                    async with aio.TaskGroup() as group:
                        tasks = [group.create_task(parent_of(seen), metadata=mine) for _ in range(4)]
                        shared = group.create_task(seen(), context=contextvars.copy_context(), metadata=mine)
                    found += [task.result() for task in tasks] + [(shared.result(),) * 2]
            return found

        results[number] = asyncio.run(main()), observer.calls

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    for number, (found, calls) in results.items():
        mine = TaskMetadata(operation_name="work", correlation_id=str(number))
        assert found == [(mine, mine)] * 250
        assert len(calls) == 50 * 9 * 2
        assert {call[2] for call in calls} == {mine}


def test_shares_of_one_loop_may_come_and_go_from_other_threads(recording: Any) -> None:
    loop = asyncio.new_event_loop()
    try:
        keep = aio.install_task_factory(loop, [recording])

        def come_and_go() -> None:
            for _ in range(200):
                aio.install_task_factory(loop, [type(recording)()]).remove()

        threads = [threading.Thread(target=come_and_go) for _ in range(3)]
        for thread in threads:
            thread.start()

        async def main() -> None:
            for _ in range(200):
                await aio.create_task(nothing(), metadata=SEND)

        loop.run_until_complete(main())
        for thread in threads:
            thread.join(30)
        keep.remove()
        assert loop.get_task_factory() is None
        assert [call[0] for call in recording.calls].count("finished") == 201  # main() itself too
    finally:
        loop.close()


# uvloop


def test_it_works_on_uvloop(recording: Any) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, uvloop.Loop)
        with aio.install_task_factory(loop, [recording]):
            first = await aio.create_task(parent_of(seen), metadata=SEND)
            eager = aio.create_task(seen(), metadata=COUNT, eager_start=True)
            assert eager.done()
            async with aio.TaskGroup() as group:
                task = group.create_task(seen(), metadata=COUNT)
        assert loop.get_task_factory() is None
        return first, eager.result(), task.result(), await aio.create_task(seen(), name="plain")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == ((SEND, SEND), COUNT, COUNT, None)
    assert [call[0] for call in recording.calls].count("finished") == 4


def test_what_uvloop_cannot_do_it_refuses_and_our_own_calls_do_without() -> None:
    handed: list[dict[str, Any]] = []

    def foreign(loop: Any, coro: Any, metadata: Any = None, **keywords: Any) -> asyncio.Task[Any]:
        handed.append({"metadata": metadata, **keywords})
        return asyncio.Task(coro, loop=loop, **keywords)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        with aio.install_task_factory(loop):
            coro = seen()
            with pytest.raises(TypeError, match="metadata"):
                assert loop.create_task(coro, metadata=SEND) is None  # type: ignore[call-arg]
            coro.close()
            ours = await aio.create_task(seen(), metadata=SEND)
        loop.set_task_factory(foreign)
        await aio.create_task(nothing(), name="a", metadata=SEND)  # checked, and dropped
        with pytest.raises(aio.MetadataError, match="operation_name"):
            aio.create_task(nothing(), metadata={"operation_name": ""})
        loop.set_task_factory(None)
        return ours

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == SEND
    assert [one["metadata"] for one in handed] == [None]


def test_an_eager_factory_beneath_works_on_uvloop(recording: Any) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        with aio.install_task_factory(loop, [recording]):
            task = aio.create_task(seen(), metadata=SEND)
            assert task.done()
            waits = aio.create_task(asyncio.sleep(0, "later"), metadata=COUNT)
            assert await waits == "later"
        assert loop.get_task_factory() is asyncio.eager_task_factory
        return task.result()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == SEND
    assert [call[0] for call in recording.calls] == ["created", "finished"] * 2
