"""How stored rows become records and plain answers, alike for every adapter."""

from typing import Any
from uuid import UUID

import msgspec

from laneway._core.errors import KeyReused
from laneway._core.events import Event
from laneway._core.records import NO_ITEM, RunRecord, Signal, StepRow, Submission, made

__all__ = [
    "event_of",
    "first_id",
    "like_pattern",
    "new_record",
    "refused_key",
    "run_answer",
    "run_id",
    "signal_answer",
    "step_answer",
]


def run_id(text: str) -> bytes:
    """A run's id as its 16 bytes.

    Raises:
        ValueError: the text is no UUID.
    """
    return UUID(text).bytes


def first_id(moment: float) -> bytes:
    """The smallest id a run that began at `moment` (epoch seconds) can have: ids begin with their millisecond."""
    return max(0, int(moment * 1000)).to_bytes(6) + bytes(10)


def like_pattern(text: str) -> str:
    """The pattern by which `like` finds the text wherever it stands; backslash is the escape character."""
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def new_record(one: Submission, engine: str) -> RunRecord:
    """The record of a run that was just admitted."""
    run, workflow, version, reference, context, key, created, fingerprints, *_ = one
    return made(RunRecord, (
        run, workflow, version, reference, "running", key, engine, context, None, None,
        created, None, fingerprints, True, one.priority, one.deadline, None, one.parent, one.origin, one.tags,
    ))  # fmt: skip


def refused_key(record: RunRecord, submission: Submission) -> KeyReused:
    """The refusal of a key that another workflow's run has."""
    return KeyReused(
        key=submission.key,
        run=str(UUID(bytes=record.run)),
        existing=record.workflow,
        workflow=submission.workflow,
    )


def run_answer(record: RunRecord) -> dict[str, Any]:
    """A run as plain data for lists and pages; contexts stay encoded under `context` and `final`."""
    parent = record.parent
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
        "priority": record.priority,
        "deadline": record.deadline,
        "due": record.due,
        "tags": dict(record.tags),
        "parent": None if parent is None else str(UUID(bytes=parent.run)),
        "parent_task": None if parent is None else parent.task,
        "origin": None if record.origin is None else str(UUID(bytes=record.origin)),
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


def signal_answer(signal: Signal) -> dict[str, Any]:
    """A signal as plain data; the value stays encoded."""
    return {"name": signal.name, "value": signal.value, "at": signal.at}


def event_of(
    seq: int, run: bytes, kind: str, task: str | None, item: int, at: float, data: bytes | None
) -> Event:
    """An event as readers see it."""
    decoded = {} if data is None else msgspec.json.decode(data, type=dict[str, Any])
    return Event(seq, str(UUID(bytes=run)), kind, task, None if item == NO_ITEM else item, at, decoded)
