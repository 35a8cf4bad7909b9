"""Building rows: what an attempt's outcome, a retry or a skip looks like in the store. No clock, no store."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from laneway._core.context import decode_object
from laneway._core.events import EventRow
from laneway._core.failures import Failure, failure_record, kind_of
from laneway._core.records import NO_ITEM, StepRow, Transition, made

__all__ = [
    "EVENT_OF",
    "STATUS_OF",
    "STOPPED",
    "UPSTREAM",
    "UPSTREAM_DATA",
    "Ended",
    "asleep",
    "attempted",
    "ended",
    "failed_before",
    "failure_of_row",
    "history",
    "joined",
    "noted",
    "plain_row",
    "run_text",
]

_encode = msgspec.json.encode

STATUS_OF = {
    "value": "succeeded",
    "patch": "succeeded",
    "failure": "failed",
    "stopped": "failed",
    "skipped": "skipped",
}
"""Outcome kind to step status."""

EVENT_OF = {
    "succeeded": "step_succeeded",
    "failed": "step_failed",
    "skipped": "step_skipped",
    "cancelled": "step_cancelled",
}
"""Step status to the event that tells it."""

_SET, _NONE_REMOVED = b'{"set":', b',"removed":[]}'

UPSTREAM = _encode(failure_record("other", "upstream_failed", "a task it depends on did not succeed"))
UPSTREAM_DATA = _encode({"reason": "upstream_failed"})
STOPPED = _encode(failure_record("other", "Cancelled", "the run was cancelled"))


class Ended(NamedTuple):
    """An outcome taken apart."""

    patch: dict[str, bytes | None] | None
    """What later tasks see; of a mapped step None."""
    stored: bytes | None
    removed: bytes | None
    error: bytes | None


def run_text(run: bytes) -> str:
    """A run's id as people see it: a UUID as text."""
    digits = run.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def ended(kind: str, body: bytes, name: str, *, mapped: bool) -> Ended:
    """Take an outcome apart: a value is stored under the task's id, a patch as it is, an item's value bare."""
    if kind == "value":
        if mapped:
            return made(Ended, (None, body, None, None))
        return made(Ended, ({name: body}, b"{" + _encode(name) + b":" + body + b"}", None, None))
    if kind == "patch":
        if body.startswith(_SET) and body.endswith(_NONE_REMOVED):  # what nearly every patch looks like
            stored = body[len(_SET) : -len(_NONE_REMOVED)]
            return made(Ended, (None if mapped else decode_object(stored), stored, None, None))
        parts = decode_object(body)
        if mapped:
            return Ended(None, parts["set"], None, None)
        patch: dict[str, bytes | None] = {**decode_object(parts["set"])}
        removed = parts.get("removed")
        if removed is None or removed == b"[]":
            return Ended(patch, parts["set"], None, None)
        patch.update(dict.fromkeys(msgspec.json.decode(removed, type=list[str])))
        return Ended(patch, parts["set"], removed, None)
    if kind == "skipped":
        return Ended(None, None, None, None)
    return Ended(None, None, None, body)


def attempted(
    run: bytes,
    name: str,
    item: int,
    status: str,
    attempt: int,
    outcome: Any,
    parts: Ended,
    before: StepRow | None,
    due: float | None,
) -> StepRow:
    """The row of a step after an attempt. `outcome` is a `laneway.ports.Outcome`."""
    return made(
        StepRow,
        (
            run,
            name,
            item,
            status,
            attempt,
            outcome.lane,
            outcome.worker,
            outcome.started,
            outcome.duration,
            outcome.stopped_by,
            parts.stored,
            parts.removed,
            parts.error,
            None if before is None else history(before),
            outcome.output,
            due,
        ),
    )


def asleep(
    run: bytes, name: str, item: int, outcome: Any, before: StepRow | None, body: bytes, due: float | None
) -> StepRow:
    """The row of a step that waits for what it asked for. The try that asked is no attempt of its own."""
    attempt = 0 if before is None else before.attempt
    return StepRow(
        run, name, item, "waiting", attempt, outcome.lane, outcome.worker, outcome.started, outcome.duration, "", body,
        None, None, None if before is None else history(before), outcome.output, due,
    )  # fmt: skip


def plain_row(
    run: bytes,
    name: str,
    item: int,
    status: str,
    *,
    attempt: int = 0,
    started: float = 0.0,
    duration: float = 0.0,
    error: bytes | None = None,
) -> StepRow:
    """The row of a step that ended without an outcome: skipped, cancelled, or a mapped task as a whole."""
    return StepRow(
        run, name, item, status, attempt, "", "", started, duration, "", None, None, error, None, "", None
    )


def failed_before(error: BaseException) -> bytes:
    """The failure of a step that could not even start."""
    failure: Failure = failure_record(kind_of(error), type(error).__name__, str(error))
    return _encode(failure)


_FIRST = b'{"attempt":1}'


def noted(attempt: int, error: bytes | None, **more: Any) -> bytes:
    """What an event says of an attempt: its number, and the failure in short."""
    if error is None:
        return _FIRST if attempt == 1 else b'{"attempt":%d}' % attempt
    full = msgspec.json.decode(error, type=dict[str, Any])
    short = {"kind": full.get("kind"), "type": full.get("type"), "message": full.get("message")}
    return _encode({"attempt": attempt, "error": short, **more})


def failure_of_row(row: StepRow) -> dict[str, Any]:
    """A failed step's error as its run reports it: the failure record plus the task and its map key."""
    error: dict[str, Any] = {"task": row.task, "key": None if row.item == NO_ITEM else row.item}
    if row.error is not None:
        error.update(msgspec.json.decode(row.error, type=dict[str, Any]))
    return {"kind": "other", "message": "", "traceback": "", **error}


def history(row: StepRow) -> bytes | None:
    """All attempts so far, the latest one included, as the JSON list that the next row carries."""
    earlier: list[Mapping[str, Any]] = [] if row.attempts is None else msgspec.json.decode(row.attempts)
    if not row.attempt or (row.status == "waiting" and row.patch is not None):
        return row.attempts  # a step that waits for what it asked for is in no attempt
    latest = {
        "number": row.attempt,
        "status": "failed" if row.status == "waiting" else "lost" if row.status == "running" else row.status,
        "lane": row.lane,
        "worker": row.worker,
        "started": row.started,
        "ended": row.started + row.duration,
        "stopped_by": row.stopped_by,
        "error": None if row.error is None else msgspec.json.decode(row.error),
    }
    return _encode([*earlier, latest])


def joined(transitions: Sequence[Transition]) -> Transition:
    """Several transitions of one run as one; of a step only its last row."""
    latest: dict[tuple[str, int], StepRow] = {}
    events: list[EventRow] = []
    for one in transitions:
        latest.update({(row.task, row.item): row for row in one.steps})
        events += one.events
    return Transition(transitions[0].run, list(latest.values()), events, transitions[-1].end)
