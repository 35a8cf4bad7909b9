"""What code in a worker logs: stdlib records go to the engine over the log pipe. Imported once `logging` is."""

import logging
from typing import TYPE_CHECKING, Any

from laneway import _attempt
from laneway.lanes._reply import plain

if TYPE_CHECKING:
    from laneway.lanes._capture import Capture

__all__ = ["RecordHandler", "attach"]

_OWN = frozenset(
    {
        "args", "asctime", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno", "lineno",
        "message", "module", "msecs", "msg", "name", "pathname", "process", "processName", "relativeCreated",
        "stack_info", "taskName", "thread", "threadName",
    }
)  # fmt: skip
_MAX_CHARACTERS = 32_768


class RecordHandler(logging.Handler):
    """Sends each record as one line of JSON, with the number of the order that it belongs to."""

    def __init__(self, capture: Capture, limit_bytes: int) -> None:
        super().__init__()
        self._capture = capture
        self._limit = limit_bytes
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; of an attempt that logs without end only the first ones."""
        attempt = _attempt.found()
        number = 0 if attempt is None else attempt.number
        if attempt is not None and attempt.logged > self._limit:
            return
        try:
            line = plain(self._described(record, number))
            self._capture.record(line)
            if attempt is not None:
                attempt.logged += len(line)
                if attempt.logged > self._limit:
                    self._capture.record(plain(self._full(record, number)))
        except Exception:  # noqa: BLE001 - what logging does with every failure of a handler
            self.handleError(record)

    def _described(self, record: logging.LogRecord, number: int) -> dict[str, Any]:
        described: dict[str, Any] = {
            "number": number,
            "name": record.name,
            "level": record.levelno,
            "message": record.getMessage()[:_MAX_CHARACTERS],
            "at": record.created,
            "path": record.pathname,
            "line": record.lineno,
            "function": record.funcName,
            "thread": record.threadName,
        }
        if record.exc_info and record.exc_info[0] is not None:
            described["error"] = self._formatter.formatException(record.exc_info)[-_MAX_CHARACTERS:]
        if record.stack_info:
            described["stack"] = record.stack_info[-_MAX_CHARACTERS:]
        extra = {key: _simple(value) for key, value in record.__dict__.items() if key not in _OWN}
        if extra:
            described["extra"] = extra
        return described

    def _full(self, record: logging.LogRecord, number: int) -> dict[str, Any]:
        return {
            "number": number,
            "name": record.name,
            "level": logging.WARNING,
            "message": f"this attempt logged more than {self._limit} bytes; the rest is left out",
            "at": record.created,
            "path": record.pathname,
            "line": record.lineno,
            "function": record.funcName,
            "thread": record.threadName,
        }


def _simple(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)[:_MAX_CHARACTERS]


def attach(capture: Capture, limit_bytes: int, level: int) -> None:
    """Send everything that is logged from now on, from the engine's own level up."""
    root = logging.getLogger()
    root.addHandler(RecordHandler(capture, limit_bytes))
    root.setLevel(level)
