"""Steps that wait: for a signal, for a moment, for another look. What each comes to, as pure decisions."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from laneway._core.failures import failure_record
from laneway._core.records import StepRow

__all__ = ["Waiting", "ended_by_signal", "ended_by_time", "recalled", "waiting_for"]

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Waiting(NamedTuple):
    """What a step waits for. `due` is when it stops waiting for a signal, or what it waits for."""

    body: bytes
    signal: str = ""
    due: float | None = None
    again: bool = False
    """Call the task again rather than end its step."""
    child: bool = False
    """It waits for another run, which may have ended while nobody looked: ask once more after a restart."""


def waiting_for(body: bytes, now: float) -> Waiting:
    """What a suspension asks for, with its moment."""
    parts = _decode(body)
    seconds = parts.get("seconds") or parts.get("again")
    until = parts.get("until")
    due = None
    if until is not None:
        due = float(msgspec.json.decode(bytes(until)))
    elif seconds is not None:
        due = now + float(msgspec.json.decode(bytes(seconds)))
    return _made(body, parts, due)


def recalled(row: StepRow) -> Waiting | None:
    """What a recorded step waits for; None where it waits for its next attempt after a failure."""
    if row.status != "waiting" or row.patch is None:
        return None
    return _made(row.patch, _decode(row.patch), row.due)


def _made(body: bytes, parts: Mapping[str, Any], due: float | None) -> Waiting:
    signal = parts.get("signal")
    name = "" if signal is None else msgspec.json.decode(bytes(signal), type=str)
    return Waiting(body, name, due, "again" in parts or "child" in parts, "child" in parts)


def ended_by_signal(waiting: Waiting, value: bytes) -> tuple[str, bytes] | None:
    """Outcome kind and body once the signal is there; None: call the task again."""
    return None if waiting.again else ("value", value)


def ended_by_time(waiting: Waiting) -> tuple[str, bytes] | None:
    """Outcome kind and body once the moment is there; None: call the task again."""
    if waiting.again:
        return None
    parts = _decode(waiting.body)
    if "value" in parts:
        return "value", bytes(parts["value"])
    message = f"the signal {waiting.signal!r} did not come in time"
    return "failure", msgspec.json.encode(failure_record("timeout", "TimeoutError", message))
