"""`create_task` and `TaskGroup`: what they forward, what they refuse, and what they are without a factory."""

import asyncio
import contextvars
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

import pytest

from laneway import aio
from laneway.aio import MetadataError, TaskMetadata

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="outside")
SEND: aio.TaskMetadataFields = {"operation_name": "send", "correlation_id": "42"}
RECORD = TaskMetadata(operation_name="send", correlation_id="42")


class Create(Protocol):
    def __call__(self, coro: Coroutine[Any, Any, Any], **keywords: Any) -> asyncio.Task[Any]: ...


@asynccontextmanager
async def function_path() -> AsyncIterator[Create]:
    yield aio.create_task


@asynccontextmanager
async def group_path() -> AsyncIterator[Create]:
    async with aio.TaskGroup() as group:
        yield group.create_task


PATHS = pytest.mark.parametrize(
    "path", [pytest.param(function_path, id="create_task"), pytest.param(group_path, id="TaskGroup")]
)
type Path = Callable[[], AbstractAsyncContextManager[Create]]


async def what_i_see() -> tuple[str, TaskMetadata | None, str]:
    task = asyncio.current_task()
    assert task is not None
    return task.get_name(), aio.current_metadata(), VARIABLE.get()


async def nothing() -> None: ...


class Seen:
    """A factory of the host program's: keeps the keywords it is handed."""

    def __init__(self) -> None:
        self.keywords: list[dict[str, Any]] = []

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **keywords: Any
    ) -> asyncio.Task[Any]:
        self.keywords.append(dict(keywords))
        keywords.pop("metadata", None)
        return asyncio.Task(coro, loop=loop, **keywords)


@PATHS
@pytest.mark.parametrize("install", [False, True])
async def test_name_and_context_arrive(path: Path, install: bool) -> None:
    context = contextvars.copy_context()
    context.run(VARIABLE.set, "inside")
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            task = create(what_i_see(), name="my name", context=context)
            assert await task == ("my name", None, "inside")
            assert task.get_context() is context


@PATHS
@pytest.mark.parametrize("install", [False, True])
async def test_eager_start_runs_the_first_step_at_once(path: Path, install: bool) -> None:
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            assert create(nothing(), eager_start=True).done()
            for keywords in ({}, {"eager_start": None}, {"eager_start": False}):
                waits = create(nothing(), **keywords)
                assert not waits.done()
                await waits


@PATHS
async def test_a_foreign_factory_is_handed_what_was_given_and_nothing_else(path: Path) -> None:
    seen = Seen()
    asyncio.get_running_loop().set_task_factory(seen)
    context = contextvars.copy_context()
    async with path() as create:
        await create(nothing())
        await create(nothing(), name="n", context=context, eager_start=True, metadata=SEND)
        await create(nothing(), metadata=RECORD)
    assert seen.keywords == [
        {},
        {"name": "n", "context": context, "eager_start": True, "metadata": RECORD},
        {"metadata": RECORD},
    ]


@PATHS
async def test_a_foreign_factory_without_room_for_metadata_is_not_handed_any(path: Path) -> None:
    def strict(loop: Any, coro: Any, *, name: str | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, name=name)

    for factory in (strict, asyncio.eager_task_factory, asyncio.create_eager_task_factory(asyncio.Task)):
        asyncio.get_running_loop().set_task_factory(factory)
        async with path() as create:
            name, metadata, _ = await create(what_i_see(), name="n", metadata=SEND)
        assert (name, metadata) == ("n", None)


@PATHS
async def test_an_eager_factory_over_a_task_class_that_knows_metadata_is_handed_it(path: Path) -> None:
    class Marked(asyncio.Task[Any]):
        def __init__(self, coro: Any, *, metadata: Any = None, **keywords: Any) -> None:
            self.mark = metadata
            super().__init__(coro, **keywords)

    asyncio.get_running_loop().set_task_factory(asyncio.create_eager_task_factory(Marked))
    async with path() as create:
        task = create(nothing(), metadata=SEND)
        assert isinstance(task, Marked)
        assert task.mark == RECORD


@PATHS
async def test_metadata_reaches_the_task_and_its_first_step(path: Path) -> None:
    with aio.install_task_factory():
        for given in (SEND, RECORD, dict(SEND)):
            for eager in (None, False, True):
                async with path() as create:
                    task = create(what_i_see(), metadata=given, eager_start=eager)
                    assert aio.task_metadata(task) == RECORD
                    assert await task == ("send [42]", RECORD, "outside")
                assert aio.task_metadata(task) == RECORD
        assert aio.current_metadata() is None


async def test_a_record_is_handed_on_as_it_is() -> None:
    with aio.install_task_factory():
        task = aio.create_task(nothing(), metadata=RECORD)
        assert aio.task_metadata(task) is RECORD
        await task


async def test_asyncio_s_own_functions_take_metadata_while_the_factory_is_installed() -> None:
    with aio.install_task_factory():
        assert (await asyncio.create_task(what_i_see(), metadata=SEND))[1] == RECORD  # type: ignore[call-arg]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(what_i_see(), metadata=RECORD)  # type: ignore[call-arg]
        assert task.result()[1] is RECORD
        refused = nothing()
        with pytest.raises(MetadataError, match="operation_name"):
            await asyncio.create_task(refused, metadata={"operation_name": ""})  # type: ignore[call-arg]
        assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED


async def test_an_explicit_name_wins() -> None:
    with aio.install_task_factory():
        assert (await aio.create_task(what_i_see(), name="mine", metadata=SEND))[0] == "mine"
        assert (await aio.create_task(what_i_see(), metadata={"priority_hint": 1}))[0].startswith("Task-")


@PATHS
async def test_without_a_factory_metadata_is_checked_and_dropped(path: Path) -> None:
    async with path() as create:
        task = create(what_i_see(), metadata=SEND)
        name, metadata, _ = await task
    assert name.startswith("Task-")
    assert metadata is None
    assert aio.task_metadata(task) is None
    assert type(task) is asyncio.Task


@PATHS
@pytest.mark.parametrize("install", [False, True])
@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({"operation": "a"}, "operation"),
        ({"operation_name": ""}, "operation_name"),
        ({"correlation_id": 4}, "correlation_id"),
        ({"priority_hint": True}, "priority_hint"),
        ("operation_name", ""),
    ],
)
async def test_a_refused_call_closes_its_coroutine(
    path: Path, install: bool, metadata: Any, key: str
) -> None:
    before = asyncio.all_tasks()
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            refused = nothing()
            with pytest.raises(MetadataError) as caught:
                create(refused, metadata=metadata)
            assert caught.value.key == key
            assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED
    assert asyncio.all_tasks() == before


@PATHS
@pytest.mark.parametrize("install", [False, True])
async def test_a_misspelt_keyword_is_refused_with_the_nearest_one(path: Path, install: bool) -> None:
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            refused = nothing()
            with pytest.raises(TypeError, match=r"'metdata'.*did you mean 'metadata'"):
                create(refused, metdata=SEND)
            assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED


@PATHS
@pytest.mark.parametrize("install", [False, True])
async def test_what_a_factory_refuses_is_refused_and_closed(path: Path, install: bool) -> None:
    def refusing(loop: Any, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        raise RuntimeError("no more tasks today")

    asyncio.get_running_loop().set_task_factory(refusing)
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            refused = nothing()
            with pytest.raises(RuntimeError, match="no more tasks today"):
                create(refused, metadata=SEND)
            assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED
    asyncio.get_running_loop().set_task_factory(None)


@PATHS
@pytest.mark.parametrize("install", [False, True])
async def test_what_is_no_coroutine_is_refused_as_asyncio_does(path: Path, install: bool) -> None:
    with aio.install_task_factory() if install else nullcontext():
        async with path() as create:
            with pytest.raises(TypeError, match="a coroutine was expected, got 3"):
                create(3)  # type: ignore[arg-type]


def test_without_a_running_loop_the_coroutine_is_closed() -> None:
    refused = nothing()
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.create_task(refused, metadata=SEND)
    assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED


async def test_a_coroutine_that_runs_already_is_left_alone() -> None:
    gate = asyncio.Event()

    async def waiting() -> str:
        await gate.wait()
        return "done"

    coro = waiting()
    task = aio.create_task(coro)
    await asyncio.sleep(0)
    with pytest.raises(MetadataError):
        aio.create_task(coro, metadata={"operation_name": ""})
    gate.set()
    assert await task == "done"


async def test_a_group_that_is_not_open_refuses_and_closes() -> None:
    group = aio.TaskGroup()
    early = nothing()
    with pytest.raises(RuntimeError, match="has not been entered"):
        group.create_task(early, metadata=SEND)
    async with group:
        pass
    late = nothing()
    with pytest.raises(RuntimeError, match="is finished"):
        group.create_task(late, metadata=SEND)
    assert inspect.getcoroutinestate(early) == inspect.getcoroutinestate(late) == inspect.CORO_CLOSED


async def test_a_group_is_asyncio_s_own() -> None:
    assert aio.TaskGroup.__bases__ == (object,)

    async def failing() -> None:
        raise ValueError("broken")

    async def forever() -> None:
        await asyncio.Event().wait()

    group = aio.TaskGroup()
    siblings: list[asyncio.Task[None]] = []
    with aio.install_task_factory():
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
            async with group:
                siblings.append(group.create_task(forever(), metadata=SEND))
                group.create_task(failing())
        assert siblings[0].cancelled()
        assert [str(error) for error in caught.value.exceptions] == ["broken"]
        assert "TaskGroup" in repr(group)


async def test_a_refused_child_fails_the_group_as_any_error_in_its_body_does() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with aio.TaskGroup() as group:
            group.create_task(nothing(), metadata={"priority_hint": True})
    assert caught.group_contains(MetadataError, match="priority_hint")


async def test_no_never_awaited_warning_follows_a_refusal() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(MetadataError):
            aio.create_task(nothing(), metadata={"operation_name": ""})
        with pytest.raises(TypeError):
            aio.create_task(nothing(), nmae="a")  # type: ignore[arg-type]
    assert caught == []
