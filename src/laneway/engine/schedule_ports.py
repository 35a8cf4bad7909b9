"""What the scheduler needs from others: the book its state is in, and somebody who starts runs."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from laneway._core.errors import PlanError, StoreError
from laneway._core.jobs import Agenda, Change, Firing, Job, JobState, Lead
from laneway.engine.handle import RunHandle
from laneway.engine.target import Target
from laneway.ports import EngineCard

__all__ = ["JobInvalid", "JobNotFound", "ScheduleBook", "Starter"]


class JobInvalid(PlanError):
    """A job cannot be scheduled as it is. `problems` holds one text per mistake."""

    code = "LW-SCHED-001"
    template = "job {name!r} cannot be scheduled: {listing}."

    problems: list[str]

    def __init__(self, *, name: str, problems: list[str], listing: str = "") -> None:
        super().__init__(name=name, problems=problems, listing=listing or "; ".join(problems))


class JobNotFound(StoreError):
    """There is no such job in the store."""

    code = "LW-SCHED-002"
    template = "there is no job {name!r} here. {near}`laneway schedule list` shows what there is."


class ScheduleBook(Protocol):
    """The durable state of all schedules of one store.

    Exactly one engine of a store leads. `write` with a term that is over raises NotLeading and writes nothing, so a
    leader that was frozen cannot change what its successor has decided.
    """

    async def lead(self, card: EngineCard, *, seconds: float | None) -> Lead:
        """Take or extend the lead for `seconds` (None: until somebody else changes something); say who has it.

        A leader whose lease ended, or whose process is seen to be gone, is succeeded in the same transaction.
        """
        ...

    async def leave(self, card: EngineCard) -> None:
        """Give the lead up, if this engine has it, and wake the others."""
        ...

    async def write(self, change: Change, *, term: int | None = None) -> None:
        """Write all of a change in one transaction and wake the leader.

        Raises:
            NotLeading: `term` is given and over; nothing was written.
        """
        ...

    async def agenda(self, now: float, *, limit: int) -> Agenda:
        """Jobs that are not paused and whose start has come, earliest first, then by name."""
        ...

    async def jobs(self, name: str | None = None) -> list[JobState]:
        """All jobs by name, or the one of that name."""
        ...

    async def owed(self, *, limit: int) -> list[tuple[Firing, Job]]:
        """Open firings in the order they were recorded, with their jobs."""
        ...

    async def history(self, name: str | None, *, limit: int) -> list[Firing]:
        """The latest firings, newest first."""
        ...

    def listen(self, engine: str, changed: Callable[[], None] | None) -> None:
        """Call `changed` on the event loop when another engine wrote a change or left. None ends it."""
        ...


class Starter(Protocol):
    """Starts runs: the engine."""

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
        """Record a run and begin it; with a known key, the run that has it."""
        ...

    async def load(self, target: str) -> Target:
        """Find a workflow by what a command would be told."""
        ...
