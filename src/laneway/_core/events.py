"""What happened, as records: every change of state appends one in the same transaction."""

from typing import Any, NamedTuple

__all__ = ["EVENT_KINDS", "Event", "EventRow"]

EVENT_KINDS = (
    "run_submitted",
    "run_resumed",
    "run_succeeded",
    "run_failed",
    "run_cancelled",
    "run_suspended",
    "run_paused",
    "run_retried",
    "step_started",
    "step_succeeded",
    "step_failed",
    "step_retrying",
    "step_waiting",
    "step_skipped",
    "step_cancelled",
)


class EventRow(NamedTuple):
    """An event on its way into the store."""

    run: bytes
    kind: str
    task: str | None
    item: int
    at: float
    """Seconds since the epoch, by the engine's clock."""
    data: bytes | None = None
    """A JSON object with what the kind adds, such as `attempt` or `reason`."""


class Event(NamedTuple):
    """An event as readers see it. `seq` is the cursor: strictly growing, one per event of a store."""

    seq: int
    run: str
    kind: str
    task: str | None
    item: int | None
    at: float
    data: dict[str, Any]
