"""What tasks of the engine's own process print: passed on as ever, and kept with their attempt."""

import sys
import threading
from typing import Any

from laneway import _attempt

__all__ = ["Prints", "untapped"]

_LOCK = threading.Lock()
_users = 0
"""Open engines that want it; guarded by `_LOCK`."""


class Tee:
    """Stands for a text stream: writes to it, and to the attempt that writes."""

    def __init__(self, stream: Any) -> None:
        self.beneath = stream

    def write(self, text: str) -> int:
        """Write, and remember what an attempt wrote."""
        here = _attempt.current.get()
        if type(here) is _attempt.Here:
            here.printed(text)
        written: int = self.beneath.write(text)
        return written

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)

    def __iter__(self) -> Any:
        return iter(self.beneath)

    def __enter__(self) -> Any:
        return self.beneath.__enter__()

    def __exit__(self, *details: object) -> Any:
        return self.beneath.__exit__(*details)


def untapped(stream: Any) -> Any:
    """The stream itself: what is written there is nobody's print."""
    while isinstance(stream, Tee):
        stream = stream.beneath
    return stream


class Prints:
    """Puts itself before `sys.stdout` and `sys.stderr` while at least one engine is open."""

    def __init__(self) -> None:
        self._started = False

    def start(self) -> None:
        """Begin; a second time does nothing."""
        global _users
        with _LOCK:
            if not self._started:
                self._started = True
                _users += 1
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, Tee):
                    setattr(sys, name, Tee(stream))

    def stop(self) -> None:
        """Leave. With the last engine the streams are as before, unless somebody else put another in their place."""
        global _users
        with _LOCK:
            if not self._started:
                return
            self._started = False
            _users -= 1
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if not _users and isinstance(stream, Tee):
                    setattr(sys, name, stream.beneath)
