"""How stored rows become records and plain answers, alike for every adapter."""

from typing import Any
from uuid import UUID

import msgspec

from laneway._core.events import Event
from laneway._core.records import NO_ITEM, RunRecord, StepRow

__all__ = ["event_of", "run_answer", "run_id", "step_answer"]


def run_id(text: str) -> bytes:
    """A run's id as its 16 bytes.

    Raises:
        ValueError: the text is no UUID.
    """
    return UUID(text).bytes


def run_answer(record: RunRecord) -> dict[str, Any]:
    """A run as plain data for lists and pages; contexts stay encoded under `context` and `final`."""
    return {
        "id": str(UUID(bytes=record.run)),
        "workflow": record.workflow,
        "version": record.version,
        "reference": record.reference,
        "status": record.status,
        "key": record.key,
        "engine": record.engine,
        "created": record.created,
        "ended": record.ended,
        "error": None if record.error is None else msgspec.json.decode(record.error),
        "context": record.context,
        "final": record.final,
    }


def step_answer(row: StepRow) -> dict[str, Any]:
    """A step as plain data; the patch stays encoded."""
    return {
        "task": row.task,
        "key": None if row.item == NO_ITEM else row.item,
        "status": row.status,
        "attempt": row.attempt,
        "lane": row.lane,
        "worker": row.worker,
        "started": row.started,
        "duration": row.duration,
        "stopped_by": row.stopped_by,
        "error": None if row.error is None else msgspec.json.decode(row.error),
        "patch": row.patch,
        "output": row.output,
        "due": row.due,
    }


def event_of(seq: int, run: bytes, kind: str, task: str | None, item: int, at: float, data: bytes | None) -> Event:
    """An event as readers see it."""
    decoded = {} if data is None else msgspec.json.decode(data, type=dict[str, Any])
    return Event(seq, str(UUID(bytes=run)), kind, task, None if item == NO_ITEM else item, at, decoded)
