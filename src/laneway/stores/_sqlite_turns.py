"""Who writes a SQLite file next: its thread, or for one small commit with nothing before it the event loop itself."""

import threading
from time import perf_counter

from laneway.stores._batch import Batch

__all__ = ["Turns"]

_RECORDS, _STEPS, _BYTES = 4, 8, 16384
"""More than this is for the thread: it would keep the loop from its other work."""
_SLOW_SECONDS, _REST_SECONDS = 0.005, 0.1
"""After a commit that took so long the disk is busy: the thread waits for it, for some time."""
_CHECKPOINT = 256
"""Commits by the loop after which the thread moves the log into the database, which waits for the disk."""
_WHOLE = 4
"""Every so many times it does so in its turn, too: then nothing is added meanwhile, and the log can start anew."""


class Turns:
    """Keeps the loop and the thread from writing at once, and in the order in which work was handed over.

    Args:
        synced: every commit waits for the disk; then all of them are for the thread.
    """

    def __init__(self, *, synced: bool) -> None:
        self.lock = threading.Lock()
        """Whoever has it may use the writing connection."""
        self._synced = synced
        self._handed = 0
        self._done = 0
        self._not_before = 0.0
        self._since = 0.0
        self._commits = 0
        self._moves = 0

    # ---- on the loop

    def hand(self) -> None:
        """Note that one more piece of work goes to the thread."""
        self._handed += 1

    def take(self, batch: Batch) -> bool:
        """Take the turn for that batch if it may be written here and now; `give_back` must follow."""
        if self._synced or not _is_small(batch) or perf_counter() < self._not_before:
            return False
        if not self.lock.acquire(blocking=False):
            return False
        if self._handed != self._done:
            self.lock.release()
            return False
        self._since = perf_counter()
        return True

    def give_back(self) -> None:
        """End the loop's turn."""
        now = perf_counter()
        if now - self._since > _SLOW_SECONDS:
            self._not_before = now + _REST_SECONDS
        self._commits += 1
        self.lock.release()

    @property
    def is_log_long(self) -> bool:
        """Whether the loop has written so much that the thread should move it."""
        return self._commits >= _CHECKPOINT

    # ---- in the thread, with the lock

    def done(self, number: int) -> None:
        """Note that so many pieces of work are over."""
        self._done += number

    def log_moves(self) -> bool:
        """Note that the log is about to be moved; returns whether this time to its very end."""
        self._commits = 0
        self._moves += 1
        return self._moves % _WHOLE == 0


def _is_small(batch: Batch) -> bool:
    if len(batch.transitions) + len(batch.submissions) > _RECORDS:
        return False
    size = steps = 0
    for one in batch.transitions:
        steps += len(one.steps)
        if steps > _STEPS or one.reopening is not None:
            return False
        for row in one.steps:
            size += len(row.patch or b"") + len(row.output)
        if one.end is not None and one.end.context is not None:
            size += len(one.end.context)
    for submission, _ in batch.submissions:
        size += len(submission.context)
    return size <= _BYTES
