"""What a task prints: collected per attempt, sent over the worker's log pipe, up to a limit. Standard library only."""

import io
import os
import threading
from contextvars import ContextVar

from laneway._core.untyped import Any

__all__ = ["Capture", "attempt_output"]

attempt_output: ContextVar[bytearray | None] = ContextVar("laneway_attempt_output", default=None)
"""Where attempts that run at the same time collect what they print, each its own."""


class Capture(io.BufferedIOBase):
    """The binary end of a worker's `sys.stdout` and `sys.stderr`."""

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self._fd = fd
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._sent = 0
        self._dropped = 0
        self._recent = b""
        self.used = False
        """True when something was printed since `take`; read without the lock, so that silence costs nothing."""
        binary: Any = self
        self.stream: io.TextIOWrapper = io.TextIOWrapper(
            binary, encoding="utf-8", errors="backslashreplace", write_through=True
        )

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]  # any buffer
        """Take bytes; they leave with the next end of line."""
        given = bytes(data)
        if b"\x1e" in given:  # begins a log record in the pipe
            given = given.replace(b"\x1e", b"?")
        own = attempt_output.get()
        if own is not None:
            if len(own) < self._limit:
                own += given[: self._limit - len(own)]
            return len(given)
        with self._lock:
            self.used = True
            room = self._limit - self._sent - len(self._pending)
            if room < len(given):
                self._dropped += len(given) - max(room, 0)
                self._pending += given[: max(room, 0)]
            else:
                self._pending += given
            if self._pending and (given.endswith(b"\n") or len(self._pending) > 4096):
                self._send()
        return len(given)

    def _send(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._sent += len(data)
        self._recent = (self._recent + data)[-4096:]
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def record(self, line: bytes) -> None:
        """Put a log record into the pipe. It is not counted as printed."""
        view = memoryview(b"\x1e" + line + b"\n")
        with self._lock:
            while view:
                view = view[os.write(self._fd, view) :]

    def take(self) -> int:
        """End an attempt: how many bytes it put into the log pipe."""
        with self._lock:
            if self._dropped:
                self._pending += f"\n... {self._dropped} bytes more were printed ...\n".encode()
            if self._pending:
                self._send()
            sent, self._sent, self._dropped, self.used = self._sent, 0, 0, False
        return sent

    def pass_on(self, printed: bytearray) -> int:
        """Put what one of several attempts printed into the log pipe; how many bytes that were."""
        with self._lock:
            kept, self._pending = self._pending, printed
            self._send()
            sent, self._sent, self._pending = self._sent, 0, kept
        return sent

    def text(self) -> str:
        """The last of what was printed."""
        return self._recent.decode("utf-8", "replace")

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The log pipe itself, for child processes."""
        return self._fd
