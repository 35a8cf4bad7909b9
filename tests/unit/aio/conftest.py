"""A recording observer for the tests of tasks with metadata."""

import asyncio
from typing import Any

import pytest

from laneway.aio import TaskMetadata, TaskOutcome


class Recording:
    """Keeps every call, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.seconds: list[float] = []

    def created(self, task: asyncio.Task[Any], metadata: TaskMetadata | None) -> None:
        self.calls.append(("created", task.get_name(), metadata))

    def finished(
        self, task: asyncio.Task[Any], metadata: TaskMetadata | None, outcome: TaskOutcome, seconds: float
    ) -> None:
        assert task.done()
        self.calls.append(("finished", task.get_name(), metadata, outcome))
        self.seconds.append(seconds)


@pytest.fixture
def recording() -> Recording:
    return Recording()
