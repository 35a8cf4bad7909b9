"""The rows that travel between engine and store. Tuples, because millions of them are made."""

from typing import NamedTuple

from laneway._core.events import EventRow

__all__ = [
    "ENDED",
    "NO_ITEM",
    "RunEnd",
    "RunRecord",
    "SavedRun",
    "StepRow",
    "Submission",
    "Transition",
]

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


class RunEnd(NamedTuple):
    """How a run ended (or was suspended)."""

    status: str
    ended: float
    context: bytes | None
    error: bytes | None


class Transition(NamedTuple):
    """What one outcome changes, all of it in one transaction."""

    run: bytes
    steps: list[StepRow]
    events: list[EventRow]
    end: RunEnd | None = None


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


class SavedRun(NamedTuple):
    """A run with the steps that are recorded so far: enough to go on, or to show it."""

    record: RunRecord
    steps: list[StepRow]
