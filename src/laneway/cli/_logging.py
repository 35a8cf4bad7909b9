"""Log lines of commands: set up at once, but structlog is imported only when the first line is written."""

import logging
from typing import Any

from laneway.settings import Settings

__all__ = ["log_as_asked"]


class _First(logging.Handler):
    """Stands for the real handler until there is something to write."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        """Put the real handler in this one's place."""
        # A quarter of a second of imports that most commands never need.
        from laneway.observe import logs  # noqa: PLC0415

        settings = self._settings
        logging.getLogger().removeHandler(self)
        setup = logs.configure(settings.log, lines=settings.log_lines, redact=settings.redact)
        setup.handler.handle(record)


def log_as_asked(settings: Settings) -> None:
    """Write log lines to standard error, from the level and in the form that the settings say."""
    root = logging.getLogger()
    level: Any = settings.log.upper()
    if not root.handlers:
        root.addHandler(_First(settings))
        root.setLevel(level)
