"""Jobs and triggers as commands look at them and change them: through a scheduler that has no engine."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid7

from laneway._core.events import EventRow
from laneway.cli._stores import opened
from laneway.engine.handle import RunHandle
from laneway.engine.refusals import EngineClosed
from laneway.engine.schedule_ports import ScheduleBook
from laneway.engine.scheduler import Scheduler
from laneway.engine.target import Target
from laneway.ports import EngineCard, Store
from laneway.stores._processes import here
from laneway.stores.schedules import schedules_of

__all__ = ["scheduler_of", "scheduler_on"]


class _Looking:
    """Enough of an engine to look at jobs and to change them, without one."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def listen(self, listener: Callable[[Sequence[EventRow]], None]) -> None:
        """Nothing commits here."""

    def scheduling(self) -> tuple[ScheduleBook, EngineCard]:
        return schedules_of(self.store), here(str(uuid7()))

    async def start(
        self,
        workflow: Any,
        context: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
        wait: bool = True,
        tags: Mapping[str, str] | None = None,
    ) -> RunHandle:
        raise EngineClosed()

    async def load(self, target: str) -> Target:
        raise EngineClosed()


@asynccontextmanager
async def scheduler_of(store: str | None) -> AsyncIterator[Scheduler]:
    """A scheduler of the store that the user named, for looking and changing.

    Raises:
        StoreMissing: there is no such store yet.
    """
    async with opened(store) as found:
        yield scheduler_on(found)


def scheduler_on(store: Store) -> Scheduler:
    """A scheduler of an open store, for looking and changing."""
    return Scheduler(_Looking(store))
