"""What workers logged, logged again in the engine's process, with the attempt that it belongs to."""

import logging
from contextvars import Context
from typing import Any

import msgspec

from laneway import _attempt
from laneway.ports import StepOrder

__all__ = ["MARK", "LogText", "relay"]

MARK = b"\x1e"
"""Begins a record in a worker's log pipe; what tasks print never holds it."""
_MAX_RECORD = 1_000_000


class Line(msgspec.Struct):
    """A record on its way."""

    number: int
    name: str
    level: int
    message: str
    at: float
    path: str
    line: int
    function: str | None
    thread: str | None
    error: str | None = None
    stack: str | None = None
    extra: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Line).decode


class LogText:
    """Sorts what comes over a log pipe into text that was printed and records that were logged."""

    __slots__ = ("_rest", "text")

    def __init__(self) -> None:
        self.text = b""
        self._rest = b""

    def add(self, data: bytes) -> list[Line]:
        """Take what was read; returns the records that are complete."""
        if not self._rest and MARK not in data:
            self.text += data
            return []
        data = self._rest + data
        self._rest = b""
        found: list[Line] = []
        at = 0
        while (mark := data.find(MARK, at)) >= 0:
            self.text += data[at:mark]
            end = data.find(b"\n", mark)
            if end < 0:
                self._rest = data[mark : mark + _MAX_RECORD]
                return found
            try:
                found.append(_decode(data[mark + 1 : end]))
            except msgspec.DecodeError:  # a child process that wrote in between: then it is text
                self.text += data[mark + 1 : end + 1]
            at = end + 1
        self.text += data[at:]
        return found


def relay(line: Line, order: StepOrder | None, lane: str, worker: str) -> None:
    """Hand a worker's record to this process's loggers, as if it had been logged here."""
    logger = logging.getLogger(line.name)
    if not logger.isEnabledFor(line.level):
        return
    record = logging.LogRecord(
        line.name, line.level, line.path, line.line, line.message, (), None, line.function, line.stack
    )
    record.created = line.at
    record.msecs = int((line.at - int(line.at)) * 1000)
    record.threadName = line.thread
    record.exc_text = record.__dict__["laneway_error"] = line.error
    for key, value in (line.extra or {}).items():
        record.__dict__.setdefault(key, value)
    record.__dict__["laneway"] = (
        {"worker": worker} if order is None else _attempt.context_of(order, lane, worker)
    )
    # Called in the context of whoever started the worker, which is none of this record's business.
    Context().run(logger.handle, record)
