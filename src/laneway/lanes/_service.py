"""The worker of a package's loop and thread tasks: many attempts at once, inside the package's own interpreter."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import perf_counter, time
from typing import TYPE_CHECKING

from laneway import _attempt
from laneway.authoring import cancellation_probe
from laneway.lanes import _frames as frames
from laneway.lanes._capture import attempt_output
from laneway.lanes._invoke import call, call_async
from laneway.lanes._reply import decode, encode, record_of, write_all

if TYPE_CHECKING:
    from laneway.lanes._shim import Registered, Worker

__all__ = ["Service"]

_CHUNK = 65536


class Attempt:
    """One of the attempts that run at the same time."""

    __slots__ = ("_about", "asked", "logged", "number", "printed", "task")

    def __init__(self, number: int, about: bytes = b"") -> None:
        self.number = number
        self.logged = 0
        """Bytes of log records so far."""
        self._about = about
        self.asked = False
        self.printed = bytearray()
        self.task: asyncio.Task[None] | None = None

    @property
    def metadata(self) -> dict[str, object]:
        """What the task says about itself."""
        found: dict[str, object] = decode(self._about) if self._about else {}
        return found

    def is_asked(self) -> bool:
        """What `laneway.cancelled()` answers."""
        return self.asked


class Service:
    """Reads orders on an event loop; coroutines run on it, functions in threads."""

    def __init__(self, worker: Worker, threads: int) -> None:
        self._worker = worker
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="laneway-thread")
        if (
            worker.guarded
        ):  # the policy may forbid threads: those of the lane itself are started before it holds
            ready = threading.Barrier(threads + 1)
            for _ in range(threads):
                self._threads.submit(ready.wait)
            ready.wait()
        self._lock = threading.Lock()
        """Held by the loop while an attempt begins, and by the watchdog while it asks one to stop."""
        self._attempts: dict[int, Attempt] = {}
        self._newest = 0
        """The last order that was read."""
        self._early: set[int] = set()
        """Orders that are to stop and were not read yet: the watchdog's socket may be quicker than the order pipe."""
        self._replies: list[bytes] = []
        self._data = bytearray()
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def serve(self) -> None:
        """Until the order pipe closes."""
        asyncio.run(self._serve())
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        os.set_blocking(self._worker.orders, False)
        self._loop.add_reader(self._worker.orders, self._read)
        await self._ended.wait()
        self._loop.remove_reader(self._worker.orders)

    def cancel(self, number: int) -> None:
        """Ask an attempt to stop. From the watchdog's thread."""
        with self._lock:
            attempt = self._attempts.get(number)
            if attempt is None:
                if number > self._newest:
                    self._early.add(number)
                return
            attempt.asked = True
        if attempt.task is not None:
            self._soon(attempt.task.cancel)

    def _read(self) -> None:
        try:
            more = os.read(self._worker.orders, _CHUNK)
        except BlockingIOError:
            return
        if not more:
            self._ended.set()
            return
        data = self._data
        data += more
        header = frames.ORDER
        at = 0
        while len(data) - at >= header.size:
            kind, task, number, length = header.unpack_from(data, at)
            end = at + header.size + length
            if end > len(data):
                break
            self._order(kind, task, number, bytes(data[at + header.size : end]))
            at = end
        del data[:at]

    def _order(self, kind: int, task: int, number: int, payload: bytes) -> None:
        worker = self._worker
        if kind == frames.ABOUT:
            worker.about = payload
        elif kind == frames.REGISTER:
            worker.register(task, payload)
        elif kind == frames.DESCRIBE:
            self._reply(worker.described(number))
        else:
            known = worker.tasks[task]
            attempt = Attempt(number, worker.about)
            context = copy_context()
            context.run(cancellation_probe.set, attempt.is_asked)
            context.run(attempt_output.set, attempt.printed)
            context.run(_attempt.current.set, attempt)
            if known.spec.is_async:
                attempt.task = self._loop.create_task(
                    self._coroutine(attempt, known, payload), context=context
                )
            with self._lock:
                self._attempts[number] = attempt
                self._newest = number
                if number in self._early:
                    self._early.remove(number)
                    attempt.asked = True
                    if attempt.task is not None:
                        self._loop.call_soon(attempt.task.cancel)  # after it has begun, so that it answers
            if attempt.task is None:
                self._threads.submit(context.run, self._function, attempt, known, payload)

    async def _coroutine(self, attempt: Attempt, known: Registered, payload: bytes) -> None:
        started, begun = time(), perf_counter()
        try:
            function = known.function or known.find()
            kind, body = await call_async(known.spec, function, payload, decode, encode)
        except BaseException as error:  # noqa: BLE001 - a lane boundary: a task's SystemExit must not end the loop
            kind, body = "stopped" if attempt.asked else "failure", record_of(error)
        if len(body) > self._worker.most_bytes:
            kind, body = self._worker.oversized(known, body)
        self._finish(attempt, kind, body, started, perf_counter() - begun)

    def _function(self, attempt: Attempt, known: Registered, payload: bytes) -> None:
        started, begun = time(), perf_counter()
        try:
            function = known.function or known.find()
            kind, body = call(known.spec, function, payload, decode, encode)
        except BaseException as error:  # noqa: BLE001 - a lane boundary: everything a task raises is an outcome
            kind, body = "failure", record_of(error)
        if len(body) > self._worker.most_bytes:
            kind, body = self._worker.oversized(known, body)
        self._soon(self._finish, attempt, kind, body, started, perf_counter() - begun)

    def _soon(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop ended meanwhile: the engine has given this worker up
            return

    def _finish(self, attempt: Attempt, kind: str, body: bytes, started: float, duration: float) -> None:
        self._attempts.pop(attempt.number, None)
        printed = self._worker.capture.pass_on(attempt.printed) if attempt.printed else 0
        flags = frames.LOGGED if attempt.logged else 0
        number = frames.NUMBERS[kind]
        self._reply(self._worker.reply(number, flags, attempt.number, body, printed, started, duration))

    def _reply(self, data: bytes) -> None:
        if not self._replies:
            self._loop.call_soon(self._flush)
        self._replies.append(data)

    def _flush(self) -> None:
        data = b"".join(self._replies)
        self._replies.clear()
        write_all(self._worker.outcomes, data)
