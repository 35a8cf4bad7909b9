"""Log lines: structlog over stdlib logging, as JSON or for people, each with the attempt it belongs to."""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from laneway.observe._json_lines import JsonFormatter, context_of_record, extras_of, moment
from laneway.observe._log_handler import LineHandler
from laneway.observe._redaction import Redaction

__all__ = ["AttemptFilter", "LogSetup", "configure"]

type Lines = Literal["console", "json"]
type _Event = MutableMapping[str, Any]


class LogSetup:
    """What `configure` did; `remove` undoes it."""

    def __init__(self, handler: logging.Handler, level_before: int) -> None:
        self.handler = handler
        self._level_before = level_before

    def remove(self) -> None:
        """Take the handler off the root logger again. Calling it twice does nothing more."""
        root = logging.getLogger()
        if self.handler in root.handlers:
            root.removeHandler(self.handler)
            self.handler.close()
            root.setLevel(self._level_before)
            structlog.reset_defaults()


def configure(
    level: str = "warning",
    *,
    lines: Lines = "console",
    redact: Iterable[str] = (),
    stream: TextIO | None = None,
) -> LogSetup:
    """Write what is logged, by stdlib loggers and by structlog ones, in this process and in workers.

    For programs that have no logging of their own; those that have keep it, and can put `AttemptFilter` on their
    handlers. Calling it again replaces what an earlier call did.

    Args:
        level: `debug`, `info`, `warning` or `error`; workers that start later follow it.
        lines: `json` for one object a line, `console` for people.
        redact: keys whose values are blotted out, wherever they stand in a line.
        stream: standard error by default, whatever that is when a line is written.
    """
    root = logging.getLogger()
    before = root.level
    for old in list(root.handlers):
        if isinstance(old, LineHandler):
            root.removeHandler(old)
            old.close()
    handler = LineHandler(stream)
    handler.setFormatter(_formatter(lines, Redaction(redact), colours=_is_terminal(stream)))
    root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return LogSetup(handler, before)


class AttemptFilter(logging.Filter):
    """For handlers of a program's own: gives each record `run`, `task`, `key`, `attempt`, `lane`, `correlation_id`.

    Records outside any attempt get None for each, so that a format string may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; every record passes."""
        context = context_of_record(record) or {}
        for name in ("run", "workflow", "task", "key", "attempt", "lane", "worker", "correlation_id"):
            if name not in record.__dict__:
                record.__dict__[name] = context.get(name)
        return True


def _is_terminal(stream: TextIO | None) -> bool:
    return (stream or sys.stderr).isatty()


def _formatter(lines: Lines, redaction: Redaction, *, colours: bool) -> logging.Formatter:
    if lines == "json":
        return JsonFormatter(redaction)
    processors: list[Any] = [_described]
    if redaction:
        processors += [structlog.processors.format_exc_info, _Redacting(redaction)]
    processors += [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        ),
    ]
    return structlog.stdlib.ProcessorFormatter(processors=processors)


def _described(_: Any, __: str, event: _Event) -> _Event:
    """When, how bad, who and for which attempt."""
    record: logging.LogRecord = event["_record"]
    described: _Event = {
        "timestamp": moment(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": event.pop("event", ""),
    }
    described.update(extras_of(record))
    context = context_of_record(record)
    if context:
        described.update(context)
    error = record.__dict__.get("laneway_error")
    if error:
        described["exception"] = error
    described.update(event)
    return described


class _Redacting:
    """A processor that blots secrets out of everything but what the engine itself says."""

    _ours = frozenset({"timestamp", "level", "logger", "run", "task", "key", "attempt", "lane", "_record"})

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction

    def __call__(self, _: Any, __: str, event: _Event) -> _Event:
        ours = {key: value for key, value in event.items() if key in self._ours or key == "_from_structlog"}
        rest = {key: value for key, value in event.items() if key not in ours}
        return {**event, **self._redaction.value(rest)}
