"""Named points at which a test lets its own process die, as if the power of its host had gone."""

import os
import signal
import threading

__all__ = ["ARTIFACT_POINTS", "STORE_POINTS", "CrashPoints"]

STORE_POINTS = ("begin", "begun", "written", "committed", "answer")
"""Points of a commit in the SQLite store: before the transaction, after it began, after everything was written but
before the commit, right after it, and before the engine is told."""

ARTIFACT_POINTS = ("placed",)
"""Points of keeping artifacts in the SQLite store, beside those: files are in place, nothing is recorded yet."""


class CrashPoints:
    """Counts how often points are reached and kills the process at one of them.

    Args:
        point: where to die; every point if empty.
        number: at which passing (1 is the first).
    """

    def __init__(self, point: str = "", number: int = 1) -> None:
        self.seen: dict[str, int] = {}
        self._point = point
        self._left = number
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            self.seen[point] = self.seen.get(point, 0) + 1
            if self._point not in ("", point):
                return
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
