"""The types of `laneway.aio`: mypy and pyright check them, and must infer what a task results in."""

import asyncio
from typing import Any, assert_type

import pytest

from laneway import aio
from laneway.aio import TaskMetadata


async def number() -> int:
    return 1


async def words(text: str) -> list[str]:
    return text.split()


class Observer:
    def created(self, task: asyncio.Task[Any], metadata: TaskMetadata | None) -> None: ...

    def finished(
        self,
        task: asyncio.Task[Any],
        metadata: TaskMetadata | None,
        outcome: aio.TaskOutcome,
        seconds: float,
    ) -> None: ...


async def test_the_result_type_is_inferred() -> None:
    task = aio.create_task(number())
    assert_type(task, asyncio.Task[int])
    assert_type(await task, int)
    named = aio.create_task(words("a b"), name="n", eager_start=True, metadata={"operation_name": "split"})
    assert_type(named, asyncio.Task[list[str]])
    assert await named == ["a", "b"]


async def test_the_result_type_is_inferred_in_a_group() -> None:
    async with aio.TaskGroup() as group:
        assert_type(group, aio.TaskGroup)
        task = group.create_task(words("a b"), metadata=TaskMetadata(correlation_id="1"))
        assert_type(task, asyncio.Task[list[str]])
    assert_type(task.result(), list[str])


async def test_an_observer_needs_no_base_class() -> None:
    observer: aio.TaskObserver = Observer()
    with aio.install_task_factory(observers=[observer]) as installation:
        assert_type(installation, aio.TaskFactoryInstallation)
        assert_type(installation.loop, asyncio.AbstractEventLoop)
    assert not installation.installed


async def test_metadata_is_typed() -> None:
    record = TaskMetadata(operation_name="a", priority_hint=1)
    assert_type(record.operation_name, str | None)
    assert_type(record.priority_hint, int | None)
    assert_type(record.as_dict(), aio.TaskMetadataFields)
    assert_type(aio.current_metadata(), TaskMetadata | None)
    task = aio.create_task(number())
    assert_type(aio.task_metadata(task), TaskMetadata | None)
    await task


async def test_mistakes_are_type_errors() -> None:
    """Each ignored line is an error for the type checkers: mypy reports an ignore that is not needed."""
    with pytest.raises(aio.MetadataTypeError):
        aio.create_task(number(), metadata={"operation": "a"})  # type: ignore[arg-type]
    with pytest.raises(aio.MetadataTypeError):
        aio.create_task(number(), metadata={"priority_hint": "1"})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        aio.create_task(number(), metdata={})  # type: ignore[arg-type]
