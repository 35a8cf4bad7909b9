"""The rows that travel between engine and store. Tuples, because millions of them are made."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from laneway._core.events import EventRow

__all__ = [
    "ENDED",
    "NO_ITEM",
    "Parent",
    "Reopening",
    "RunEnd",
    "RunRecord",
    "SavedRun",
    "Signal",
    "StepRow",
    "Submission",
    "Transition",
    "Wish",
    "made",
]


class _Make(Protocol):
    def __call__[Row](self, row: type[Row], fields: tuple[Any, ...], /) -> Row: ...


made: _Make = cast("Any", tuple.__new__)
"""Builds one of these rows from all its fields in order, without the detour through its own `__new__`."""


NO_ITEM = -1
"""The map key of a step that is not mapped."""

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""Run statuses that are final until somebody retries or forks."""


class StepRow(NamedTuple):
    """The durable state of one step, keyed by (run, task, item)."""

    run: bytes
    task: str
    item: int
    status: str
    """`running`, `waiting` (for a retry), `succeeded`, `failed`, `skipped`, `cancelled`."""
    attempt: int
    lane: str
    worker: str
    started: float
    duration: float
    stopped_by: str
    patch: bytes | None
    """`{"key": value}` as JSON; of a mapped step the bare value."""
    removed: bytes | None
    """JSON list of context keys the step removed."""
    error: bytes | None
    """The failure record as JSON."""
    attempts: bytes | None
    """Earlier attempts as a JSON list, oldest first; None when there were none."""
    output: str
    due: float | None
    """When a waiting step goes on, seconds since the epoch."""


class Parent(NamedTuple):
    """The step that started a run."""

    run: bytes
    task: str
    item: int


class RunEnd(NamedTuple):
    """How a run ended, or why it rests: `suspended` and `paused` runs are nobody's until somebody claims them."""

    status: str
    ended: float
    context: bytes | None
    error: bytes | None
    due: float | None = None
    """Of a suspended run: when it goes on by itself, seconds since the epoch; None if only a signal wakes it."""
    parent: Parent | None = None
    """Whose step to wake with the end of this run."""


class Reopening(NamedTuple):
    """What a retry undoes before the run goes on: steps to forget, and the new initial context if there is one."""

    forget: list[tuple[str, int]]
    context: bytes | None = None


class Transition(NamedTuple):
    """What one outcome changes, all of it in one transaction."""

    run: bytes
    steps: list[StepRow]
    events: list[EventRow]
    end: RunEnd | None = None
    reopening: Reopening | None = None


class Submission(NamedTuple):
    """A run that is asked for."""

    run: bytes
    workflow: str
    version: str
    reference: str
    """Where the workflow was found: `module:name`, a file, a package; for resuming by command."""
    context: bytes
    key: str | None
    created: float
    fingerprints: bytes
    """JSON object: task id to code fingerprint."""
    priority: int = 0
    """Higher is claimed first."""
    deadline: float | None = None
    """Seconds since the epoch after which the run is stopped and fails."""
    tags: Mapping[str, str] = {}
    parent: Parent | None = None
    origin: bytes | None = None
    """The run that this one was forked from."""
    steps: Sequence[StepRow] = ()
    """Finished steps that a fork starts with."""


class RunRecord(NamedTuple):
    """A run as the store has it."""

    run: bytes
    workflow: str
    version: str
    reference: str
    status: str
    key: str | None
    engine: str | None
    """Who drives it, if anybody."""
    context: bytes
    final: bytes | None
    error: bytes | None
    created: float
    ended: float | None
    fingerprints: bytes
    is_new: bool = False
    priority: int = 0
    deadline: float | None = None
    due: float | None = None
    parent: Parent | None = None
    origin: bytes | None = None
    tags: Mapping[str, str] = {}


class Signal(NamedTuple):
    """A named value that somebody sent to a run. It stays: whoever waits for the name later gets it too."""

    name: str
    value: bytes
    at: float


class SavedRun(NamedTuple):
    """A run with the steps that are recorded so far: enough to go on, or to show it."""

    record: RunRecord
    steps: list[StepRow]
    signals: Sequence[Signal] = ()


class Wish(NamedTuple):
    """What somebody wants of a run: `cancel`, `pause`, or `signal` with a name and an encoded value."""

    run: str
    wish: str
    name: str = ""
    value: bytes | None = None
