"""Jobs and their due moments as rows, for every store that keeps them in SQL."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from laneway._core.jobs import Firing, Job, JobState

__all__ = ["HURRY", "KEPT", "decoded", "defined", "firing_of", "moment", "seconds_of", "settled", "state_of"]

KEPT = 100
"""Ended firings that are kept of each job."""
HURRY = 15.0
"""Seconds within which a leader must show itself after somebody else changed something."""

decoded = msgspec.json.Decoder(Job).decode


def defined(state: JobState, *, reset: bool) -> dict[str, Any]:
    """A job to write."""
    return {
        "name": state.job.name,
        "body": msgspec.json.encode(state.job),
        "paused": state.paused,
        "due": seconds_of(state.due),
        "start": seconds_of(state.start),
        "reset": reset,
    }


def settled(one: Firing) -> dict[str, Any]:
    """What became of a due moment, to write."""
    return {
        "name": one.name,
        "due": seconds_of(one.due),
        "status": one.status,
        "run": one.run,
        "started": seconds_of(one.started),
        "ended": seconds_of(one.ended),
        "reason": one.reason,
    }


def state_of(row: Sequence[Any]) -> JobState:
    """A job and where it stands."""
    body, paused, due, start, missed, last_due, last_status, last_run = row
    job = decoded(body)
    return JobState(
        job, bool(paused), moment(due), moment(start), missed, moment(last_due), last_status, last_run
    )


def firing_of(row: Sequence[Any]) -> Firing:
    """A due moment."""
    name, due, status, run, started, ended, reason, why = row[:8]
    at = datetime.fromtimestamp(due, UTC)
    return Firing(name, at, status, run, moment(started), moment(ended), reason, why)


def seconds_of(at: datetime | None) -> float | None:
    """Seconds since the epoch."""
    return None if at is None else at.timestamp()


def moment(seconds: float | None) -> datetime | None:
    """Seconds since the epoch as aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
