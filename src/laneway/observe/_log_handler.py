"""The handler that writes log lines: warnings at once, lesser lines together, at most a moment later."""

import logging
import sys
import threading
from typing import TextIO

from laneway.observe._json_lines import JsonFormatter, is_plain
from laneway.observe._prints import untapped

__all__ = ["LineHandler"]

_GATHER_SECONDS = 0.1
_MOST = 500


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; without one to what standard error is at that moment.

    A write gives other threads their turn, which costs a busy event loop more than the line itself. Lines below
    `warning` therefore wait up to a tenth of a second for others; those from `warning` on are written at once, after
    all that waited.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(untapped(stream or sys.stderr))
        self._follows = stream is None
        self._waiting: list[str | logging.LogRecord] = []
        self._writer: threading.Thread | None = None
        self._wanted = threading.Event()
        self._ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; called with the handler's lock held."""
        try:
            # What is known to stay as it is can be made into text with the others, later and by another thread.
            can_wait = record.levelno < logging.WARNING and isinstance(self.formatter, JsonFormatter)
            if can_wait and is_plain(record):
                self._waiting.append(record)
            else:
                self._waiting.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING or len(self._waiting) > _MOST or self._ended.is_set():
                self.flush()
            elif len(self._waiting) == 1:
                self._write_soon()
        except Exception:  # noqa: BLE001 - what logging does with every failure of a handler
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or threading.RLock():
            if self._waiting:
                end = self.terminator
                made = self.formatter.plain if isinstance(self.formatter, JsonFormatter) else self.format
                text = "".join([one if isinstance(one, str) else made(one) + end for one in self._waiting])
                self._waiting.clear()
                if self._follows:
                    self.stream = untapped(sys.stderr)
                self.stream.write(text)
            if not self.stream.closed:
                self.stream.flush()

    def close(self) -> None:
        """Write what waits and end."""
        self._ended.set()
        self._wanted.set()
        try:
            self.flush()
        finally:
            super().close()

    def _write_soon(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._serve, name="laneway-logs", daemon=True)
            self._writer.start()
        self._wanted.set()

    def _serve(self) -> None:
        while not self._ended.is_set():
            self._wanted.wait()
            self._wanted.clear()
            self._ended.wait(_GATHER_SECONDS)
            try:
                self.flush()
            except OSError, ValueError:  # the stream is gone; whoever logs next is told
                continue
