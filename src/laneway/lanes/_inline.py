"""Interpreters in the program's own process: `placement="inline"`. Buffers need no copy, but nothing can be killed."""

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from laneway.lanes._host import BOOT, run_interpreter
from laneway.lanes._hosts import LANEWAY_PARENT

__all__ = ["InlineHost"]

_LEAVE_SECONDS = 0.5


class InlineHost:
    """What `Host` is for a process, for one interpreter in this process: same names, same meaning.

    A worker that cannot be stopped stays where it is, on a daemon thread, until its task ends: it is in quarantine.
    """

    last_rung = "quarantine"
    tells = False

    def __init__(self, loop: asyncio.AbstractEventLoop, gone: Callable[[Any], None]) -> None:
        self._loop = loop
        self._gone = gone
        self.workers: set[Any] = set()
        self.environment: dict[str, str] | None = None
        self.exclusive = True
        self.closing = False
        self.blamed: object | None = None
        self.dead = False
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

    @property
    def is_stuck(self) -> bool:
        """True while a worker that was given up still runs."""
        return self.dead and self._thread is not None and self._thread.is_alive()

    def start_worker(self, setup: str, fds: list[int]) -> None:
        """Run a worker in a new interpreter on a thread of its own."""
        own = tuple(os.dup(fd) for fd in fds)
        boot = BOOT.format(home=LANEWAY_PARENT, setup=setup, fds=own)
        self._thread = threading.Thread(
            target=self._run, args=(boot, own), name="laneway-interpreter", daemon=True
        )
        self._thread.start()
        atexit.register(self._leave)

    def _run(self, boot: str, fds: tuple[int, ...]) -> None:
        run_interpreter(boot, fds, lambda text: None)
        atexit.unregister(self._leave)
        try:
            self._loop.call_soon_threadsafe(self._ended)
        except RuntimeError:  # the loop is closed: nobody waits for this worker any more
            return

    def _leave(self) -> None:
        """At the program's end: CPython waits for ever for an interpreter that still runs something."""
        if self._thread is None or not self._thread.is_alive():
            return
        for worker in list(self.workers):
            worker.abandon()
        self._thread.join(_LEAVE_SECONDS)
        if self._thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1 if hasattr(sys, "last_exc") else 0)

    def _ended(self) -> None:
        if not self.dead:
            self.dead = self.closing = True
            self._gone(self)

    def kill(self, blamed: object | None = None) -> None:
        """Give the worker up: nothing in this process can end it."""
        if self.blamed is None:
            self.blamed = blamed
        self._loop.call_soon(self._ended)
        self.closing = True

    def close(self) -> None:
        """Nothing to do: the worker ends when its pipes close."""
        self.closing = True

    def dump(self, worker: str) -> None:
        """Stacks inside a busy interpreter cannot be had from here."""

    def memory_mib(self) -> float:
        """Unknown: memory is counted for the whole process."""
        return 0.0

    def printed(self) -> str:
        """Nothing: this is the program's own standard error."""
        return ""

    def reason(self) -> str:
        """How it ended, in words."""
        return "ended unexpectedly"
