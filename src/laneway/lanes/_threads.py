"""One thread of the thread lane, and one attempt on it."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from time import perf_counter, time
from typing import Any

from laneway import _attempt
from laneway._core.failures import failure_of
from laneway._core.model import TaskSpec
from laneway.authoring import cancellation_probe
from laneway.lanes._codec import decode, encode, failure_body
from laneway.lanes._coroutines import KeptLoop
from laneway.lanes._invoke import call, call_async
from laneway.ports import Outcome

__all__ = ["Attempt", "WorkerThread"]


class Attempt:
    """One attempt on a thread: written by the thread until `ended` is called on the loop, read by the loop after."""

    def __init__(
        self,
        spec: TaskSpec,
        payload: bytes,
        context: Context,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Attempt], None],
    ) -> None:
        self.spec = spec
        self.payload = payload
        self.context = context
        self.loop = loop
        self.ended = ended
        self.future: asyncio.Future[Outcome] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self.thread: WorkerThread | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.expired = False
        self.asked = False
        self.kind = ""
        self.body = b""
        self.started = 0.0
        self.begun = 0.0
        self.duration = 0.0

    def ask(self) -> None:
        """Ask the attempt to stop: the flag for cooperative code, a cancellation for a coroutine."""
        self.asked = True
        if self.spec.is_async and self.thread is not None:
            self.thread.cancel()

    def is_asked(self) -> bool:
        """What `laneway.cancelled()` answers inside the attempt."""
        return self.asked


def _told(attempt: Attempt) -> list[dict[str, Any]]:
    """Whose attempt it is, where an engine said so."""
    here = attempt.context.get(_attempt.current)
    if not isinstance(here, _attempt.Here):
        return []
    order = here.order
    return [{"run": order.run, "task": order.task.id, "key": order.item, "state": "running"}]


class WorkerThread:
    """A daemon thread that runs attempts one after another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempt: Attempt | None = None
        self._orders: SimpleQueue[Attempt | None] = SimpleQueue()
        self._kept: KeptLoop | None = None
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def hand(self, attempt: Attempt) -> None:
        """Give the thread an attempt. Only when it is idle."""
        self._orders.put(attempt)

    def end(self) -> None:
        """Let the thread end once it is idle."""
        self._orders.put(None)

    def cancel(self) -> None:
        """Cancel the coroutine that runs on the thread's loop."""
        if self._kept is not None:
            self._kept.cancel(self._kept.running)

    def described(self) -> dict[str, Any]:
        """For people: name, task and age."""
        attempt = self.attempt
        if attempt is None:
            return {"worker": self.name, "state": "idle"}
        return {
            "worker": self.name,
            "state": "stopping" if attempt.asked else "running",
            "task": attempt.spec.id,
            "age": round(perf_counter() - attempt.begun, 3) if attempt.begun else 0.0,
            "attempts": _told(attempt),
        }

    def _serve(self) -> None:
        while True:
            attempt = self._orders.get()
            if attempt is None:
                if self._kept is not None:
                    self._kept.close()
                return
            self.attempt = attempt
            attempt.started = time()
            attempt.begun = perf_counter()
            try:
                attempt.kind, attempt.body = attempt.context.run(self._call, attempt)
            except BaseException as error:  # noqa: BLE001 - a lane boundary: everything a task raises is an outcome
                attempt.kind, attempt.body = "failure", failure_body(failure_of(error))
            attempt.duration = perf_counter() - attempt.begun
            self.attempt = None
            try:
                attempt.loop.call_soon_threadsafe(attempt.ended, attempt)
            except RuntimeError:  # the loop is closed: nobody waits for this attempt any more
                return
            del attempt

    def _call(self, attempt: Attempt) -> tuple[str, bytes]:
        cancellation_probe.set(attempt.is_asked)
        spec = attempt.spec
        function = spec.function
        if function is None:
            raise TypeError(f"task {spec.id!r} has no function in this process")
        if not spec.is_async:
            return call(spec, function, attempt.payload, decode, encode)
        if self._kept is None:
            self._kept = KeptLoop()
        return self._kept.run(
            call_async(spec, function, attempt.payload, decode, encode),
            attempt.context.copy(),
            is_asked=attempt.is_asked,
        )
