"""What tests of stores are made of: runs to ask for, steps to write, stores to open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID, uuid7

from laneway._core.errors import StoreError
from laneway._core.events import EventRow
from laneway._core.records import (
    NO_ITEM,
    RunEnd,
    RunRecord,
    StepRow,
    Submission,
    Transition,
)
from laneway.ports import EngineCard, Store

__all__ = [
    "Site",
    "card",
    "committed",
    "ended",
    "event_kinds",
    "opened",
    "refusal",
    "run_ids",
    "step",
    "submission",
    "text_id",
    "written",
]


class Site(Protocol):
    """One empty store that several store objects can work on."""

    def store(self) -> Store:
        """Another store object on the same records; not opened."""
        ...

    async def let_leases_end(self) -> None:
        """Make every lease that was given so far be over by the store's clock."""
        ...


@asynccontextmanager
async def opened(
    store: Store, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
) -> AsyncIterator[Store]:
    """Open a store as an engine of its own, on a host of its own: only its lease tells whether it lives."""
    await store.open(card(), lease=lease, nudged=nudged)
    try:
        yield store
    finally:
        await store.close()


def card() -> EngineCard:
    """An engine on a host of its own."""
    name = str(uuid7())
    return EngineCard(name, f"host of {name}", 1, 1.0)


def submission(workflow: str = "flow", **changes: Any) -> Submission:
    """A run that is asked for, with plain values where none are given."""
    values: dict[str, Any] = {
        "run": uuid7().bytes,
        "workflow": workflow,
        "version": "v1",
        "reference": f"tests:{workflow}",
        "context": b'{"n":1}',
        "key": None,
        "created": 1_800_000_000.0,
        "fingerprints": b"{}",
        **changes,
    }
    return Submission(**values)


def step(
    record: RunRecord, task: str = "a", item: int = NO_ITEM, status: str = "succeeded", **changes: Any
) -> StepRow:
    """A step's row."""
    patch = b'{"%s":1}' % task.encode() if status == "succeeded" else None
    row = StepRow(
        record.run, task, item, status, 1, "loop", "w", 10.0, 0.5, "", patch, None, None, None, "", None
    )
    return row._replace(**changes)


def written(record: RunRecord, *rows: StepRow, end: RunEnd | None = None) -> Transition:
    """A transition with those rows and an event for each."""
    events = [
        EventRow(record.run, f"step_{row.status}", row.task, row.item, 11.0, b'{"attempt":1}') for row in rows
    ]
    if end is not None:
        events.append(EventRow(record.run, f"run_{end.status}", None, NO_ITEM, 12.0))
    return Transition(record.run, list(rows), events, end)


def ended(status: str = "succeeded", *, at: float = 12.0, due: float | None = None) -> RunEnd:
    """A run's end."""
    return RunEnd(status, at, b'{"n":1,"a":1}', None, due)


async def committed(store: Store, *transitions: Transition) -> None:
    """Hand transitions over together and wait for all answers.

    Raises:
        StoreError: the first refusal.
    """
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []
    for one in transitions:
        future: asyncio.Future[None] = loop.create_future()
        futures.append(future)
        store.commit(one, answer_to(future))
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def answer_to(future: asyncio.Future[None]) -> Callable[[BaseException | None], None]:
    def answered(error: BaseException | None) -> None:
        assert not future.done(), "a transition was answered twice"
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return answered


async def refusal(waiting: Any) -> BaseException:
    """The error with which a store refuses what is awaited."""
    try:
        await waiting
    except (StoreError, TypeError) as error:
        return error
    raise AssertionError("it was not refused")


async def run_ids(store: Store, **arguments: Any) -> list[str]:
    """The ids of the runs that match."""
    return [one["id"] for one in await store.read("runs", **arguments)]


async def event_kinds(store: Store, **arguments: Any) -> list[str]:
    """The kinds of the events that match."""
    return [one["event"].kind for one in await store.read("events", **arguments)]


def text_id(record: RunRecord | Submission) -> str:
    """A run's id as text."""
    return str(UUID(bytes=record.run))
