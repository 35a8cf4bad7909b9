"""Log records as one line of JSON each: ten times quicker than the general way, since busy engines write many."""

import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import msgspec

from laneway import _attempt
from laneway.observe._redaction import Redaction

__all__ = ["JsonFormatter", "context_of_record", "extras_of", "is_plain", "moment"]

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "_from_structlog",
    "_logger",
    "_name",
    "asctime",
    "laneway",
    "laneway_error",
    "message",
    "taskName",
}
_PLAIN = len(logging.makeLogRecord({}).__dict__)
_OURS = _PLAIN + 1
"""Attributes of a record to which nothing but `laneway` was added."""
_LEVELS = {name: name.lower() for name in logging.getLevelNamesMapping()}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """When, how bad, who, what, for which attempt, and whatever the line adds."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        """One object, without a line's end."""
        if is_plain(record):
            return self.plain(record)
        fields: dict[str, Any] = {}
        if isinstance(record.msg, dict) and "_logger" in record.__dict__:  # from structlog
            fields.update(cast("dict[str, Any]", record.msg))
            text = fields.pop("event", "")
            information = fields.pop("exc_info", None)
        else:
            text = record.getMessage()
            information = record.exc_info
        fields.update(extras_of(record))
        error = self._error(record, information)
        if error:
            fields["exception"] = error
        if record.stack_info:
            fields["stack"] = record.stack_info
        if self._redaction:
            text = self._redaction.value(text)
            if fields:
                fields = self._redaction.value(fields)
        return self._line(record, text, context_of_record(record) or {}, fields)

    def plain(self, record: logging.LogRecord) -> str:
        """The object of a record that `is_plain`."""
        return self._line(record, self._redaction.text(record.msg), record.__dict__["laneway"], {})

    @staticmethod
    def _line(record: logging.LogRecord, text: str, context: dict[str, Any], fields: dict[str, Any]) -> str:
        line = {
            "timestamp": moment(record.created),
            "level": _LEVELS.get(record.levelname) or record.levelname.lower(),
            "logger": record.name,
            "event": text,
            **context,
            **fields,
        }
        try:
            return _encode(line).decode()
        except TypeError, ValueError, RecursionError:  # a key that is no text, a lone surrogate, a cycle
            return _encode({key: ascii(value) for key, value in line.items()}).decode()

    def _error(self, record: logging.LogRecord, information: Any) -> str:
        carried: str | None = record.__dict__.get("laneway_error")
        if carried:
            return carried
        if not information:
            return ""
        if information is True:
            information = record.exc_info
        elif isinstance(information, BaseException):
            information = (type(information), information, information.__traceback__)
        return self.formatException(information) if information and information[0] is not None else ""


def is_plain(record: logging.LogRecord) -> bool:
    """Whether it is a text and its attempt or run, and nothing else: so are nearly all that an engine writes.

    Such a record is the same whenever and in whatever thread it is made into a line.
    """
    found = record.__dict__
    return (
        len(found) == _OURS
        and "laneway" in found
        and type(found["msg"]) is str
        and not (found["args"] or found["exc_info"] or found["stack_info"])
    )


def moment(created: float) -> str:
    """Epoch seconds as ISO 8601 in UTC."""
    second = int(created)
    return f"{_second(second)}.{int((created - second) * 1_000_000):06}Z"


@lru_cache(4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra=` put on a record."""
    found = record.__dict__
    if len(found) <= _PLAIN + ("laneway" in found):
        return {}
    return {key: found[key] for key in found if key not in _STANDARD}


def context_of_record(record: logging.LogRecord) -> dict[str, Any] | None:
    """Of a record: what a worker's record came with, else the attempt that runs where this is called."""
    carried: dict[str, Any] | None = record.__dict__.get("laneway")
    if carried is not None:
        return carried
    here = _attempt.found()
    return _attempt.context_of(here.order, here.lane) if isinstance(here, _attempt.Here) else None
