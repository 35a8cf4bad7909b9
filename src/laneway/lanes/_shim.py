"""The worker loop: reads orders, calls tasks, writes outcomes. Standard library only."""

# What frames and JSON hold has no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import sys
import threading
from importlib import import_module
from os.path import dirname
from time import perf_counter, time

from laneway import _attempt
from laneway._core.failures import failure_record
from laneway._core.model import TaskSpec
from laneway._core.untyped import Any
from laneway.authoring import AttemptStopped, cancellation_probe, spec_of
from laneway.lanes import _frames as frames
from laneway.lanes._absent import install
from laneway.lanes._arrival import when_imported
from laneway.lanes._capture import Capture
from laneway.lanes._invoke import call, call_async
from laneway.lanes._load import describe, enter, resolve, undescribed
from laneway.lanes._reply import decode, encode, read_exactly, record_of, write_all
from laneway.lanes._watchdog import Watchdog

__all__ = ["Registered", "Worker", "serve"]

_CHUNK = 65536
_QUICK_SECONDS = 0.0002
"""Outcomes wait for the next task only where that task was quicker than this the last time."""


class Registered:
    """A task this worker knows by number: its spec, its function, how long it took the last time."""

    __slots__ = ("data", "function", "seconds", "spec")

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.spec = TaskSpec.from_described(data)
        self.function: Any = None
        self.seconds = 1.0

    def find(self) -> Any:
        """The function; importing its module on first use."""
        function = resolve(self.spec.reference)
        spec = spec_of(function)
        if spec is not None and spec.function is not None:
            function = spec.function
        self.function = function
        return function


class Serving:
    """The attempt that runs in this worker: its order's number, what it says about itself, what it logged."""

    __slots__ = ("_metadata", "_raw", "logged", "number")

    def __init__(self, number: int = 0, raw: bytes = b"") -> None:
        self.number = number
        self.logged = 0
        """Bytes of log records so far."""
        self._raw = raw
        self._metadata: dict[str, Any] | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the task says about itself; decoded when somebody asks."""
        known = self._metadata
        if known is None:
            known = self._metadata = decode(self._raw) if self._raw else {}
        return known

    def about(self, raw: bytes) -> None:
        """Metadata of this order and those that follow."""
        self._raw = raw
        self._metadata = None


class Worker:
    """The state of one worker that serves orders one after another."""

    def __init__(self, setup: dict[str, Any], fds: tuple[int, int, int, int]) -> None:
        self.orders, self.outcomes, control, log = fds
        self.unit: dict[str, Any] = setup["unit"]
        self.capture = Capture(log, setup.get("output_limit", 65536))
        self.most_bytes = self.unit["limits"].get("output_kib", 1 << 40) * 1024
        self.watchdog = Watchdog(control, threading.get_ident(), self.cancel, self.capture.text)
        self.tasks: dict[int, Registered] = {}
        self.serving = Serving()
        self.about = b""
        """The metadata, as JSON, of the orders that come."""
        self.kept: Any = None
        self.entry: Any = None
        self.guarded: bool = setup["guarded"]
        self.guard: Any = None
        """The audit hook of a package's policy, else None."""
        self.cpu_left: Any = None
        """Sets the CPU time of an attempt, where a limit of it can be enforced."""

    def cancel(self, number: int) -> None:
        """Cancel the coroutine of that order, if it runs. Called by the watchdog's thread."""
        if self.kept is not None:
            running = self.kept.running  # first, so that it is not what comes after that order
            if self.watchdog.current == number:
                self.kept.cancel(running)

    def register(self, number: int, payload: bytes) -> None:
        """Know a task by number from now on."""
        self.tasks[number] = Registered(decode(payload))

    def protect(self, setup: dict[str, Any]) -> None:
        """Before any of the package's code runs: limits and policy."""
        unit = self.unit
        policy: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in unit["policy"].items()
        }
        own = [dirname(one) for one in unit["paths"][:1]] + unit["paths"]
        roots = [*own, dirname(os.__file__), sys.prefix, sys.base_prefix, setup["home"]]
        alone = setup["shell"] == "process"
        if alone:
            # ctypes and resource: only guarded processes pay for them.
            limits = import_module("laneway.lanes._limits")
            limits.limit_process(unit["limits"])
            limits.confine(policy, roots, setup.get("artifacts"))
            self.cpu_left = limits.cpu_left
        guard = import_module("laneway.lanes._guard").Guard(
            policy, roots, children=unit["limits"].get("child_processes"), alone=alone
        )
        guard.trusted.add(self.watchdog.ident)
        self.guard = self.watchdog.guard = guard
        if setup["inline"]:  # the process belongs to the program: only this interpreter's view of it changes
            kept = import_module("laneway.lanes._guard").kept_environment(policy, dict(os.environ))
            view: Any = os.environ
            for name in [name for name in view if name not in kept]:
                view._data.pop(view.encodekey(name), None)
        guard.install()

    def load(self) -> bool:
        """Import the unit and say how that went."""
        begun = perf_counter()
        try:
            self.entry = enter(self.unit)
            kind, body = frames.LOADED, b""
        except BaseException as error:  # noqa: BLE001 - a lane boundary: whatever an import does is an answer
            kind, body = frames.LOAD_FAILED, record_of(error)
        write_all(
            self.outcomes, self.reply(kind, 0, 0, body, self.capture.take(), time(), perf_counter() - begun)
        )
        return kind == frames.LOADED

    def serve(self) -> None:
        """Until the order pipe closes."""
        order_header = frames.ORDER
        size = order_header.size
        waiting: list[bytes] = []
        data, at = b"", 0  # what was read, and how far it is done with
        while True:
            if len(data) - at < size:
                self.flush(waiting)
                more = read_exactly(self.orders, data[at:], size)
                if more is None:
                    return
                data, at = more, 0
            kind, task, number, length = order_header.unpack_from(data, at)
            begin = at + size
            at = begin + length
            if len(data) < at:
                self.flush(waiting)
                more = read_exactly(self.orders, data[begin - size :], size + length)
                if more is None:
                    return
                data, begin, at = more, size, size + length
            payload = data[begin:at]
            if kind == frames.RUN:
                known = self.tasks[task]
                if known.seconds > _QUICK_SECONDS:
                    self.flush(waiting)
                waiting.append(self.perform(number, known, payload))
                if self.watchdog.must_end:
                    self.flush(waiting)
                    return
                if len(waiting) > 200 or len(waiting[-1]) > _CHUNK:
                    self.flush(waiting)
            elif kind == frames.ABOUT:
                self.serving.about(payload)
            elif kind == frames.REGISTER:
                self.register(task, payload)
            else:
                waiting.append(self.described(number))

    def flush(self, waiting: list[bytes]) -> None:
        """Write the replies that wait, in one go."""
        if waiting:
            write_all(self.outcomes, waiting[0] if len(waiting) == 1 else b"".join(waiting))
            waiting.clear()

    def perform(self, number: int, known: Registered, payload: bytes) -> bytes:
        """One attempt from start to end, whatever happens in it, as a reply."""
        watchdog = self.watchdog
        started = time()
        begun = perf_counter()
        result: tuple[str, bytes] | None = None
        watchdog.current = self.serving.number = number
        if watchdog.asked == number:
            result = "stopped", record_of(AttemptStopped("it was to stop before it began"))
        while True:
            try:
                if result is None:
                    result = self.attempt(known, payload)
                watchdog.over()
                break
            except AttemptStopped as stopped:  # late: after the task's own code had ended
                if result is None:
                    result = "stopped", record_of(stopped)
        known.seconds = duration = perf_counter() - begun
        kind, body = result
        if len(body) > self.most_bytes:
            kind, body = self.oversized(known, body)
        flags = frames.SPENT if watchdog.must_end else 0
        if self.serving.logged:
            flags |= frames.LOGGED
            self.serving.logged = 0
        printed = self.capture.take() if self.capture.used else 0
        return self.reply(frames.NUMBERS[kind], flags, number, body, printed, started, duration)

    def reply(
        self, kind: int, flags: int, number: int, body: bytes, printed: int, started: float, duration: float
    ) -> bytes:
        """A frame, with what the policy refused meanwhile."""
        guard = self.guard
        if guard is None or not guard.refusals:
            return frames.REPLY.pack(kind, flags, 0, number, len(body), printed, started, duration) + body
        refusals = encode(guard.take(), "refusals")
        size = len(body) + len(refusals)
        return (
            frames.REPLY.pack(kind, flags, len(refusals), number, size, printed, started, duration)
            + body
            + refusals
        )

    def oversized(self, known: Registered, body: bytes) -> tuple[str, bytes]:
        """What a result beyond the package's limit becomes."""
        message = (
            f"task {known.spec.id!r} returned {len(body):,} bytes; [limits] output_kib allows {self.most_bytes:,}. "
            "Put large data into an artifact"
        )
        return "failure", encode(failure_record("other", "LimitExceeded", message), "failure")

    def limit_cpu(self, task: str) -> None:
        """Give the attempt that starts its CPU time."""
        limits = self.unit["limits"]
        self.guard.lifted = True
        try:
            self.cpu_left(limits.get(f"tasks.{task}.cpu_seconds", limits.get("cpu_seconds")))
        finally:
            self.guard.lifted = False

    def attempt(self, known: Registered, payload: bytes) -> tuple[str, bytes]:
        """Call the task; every exception becomes a failure record."""
        try:
            function = known.function or known.find()
            if self.cpu_left is not None:
                self.limit_cpu(known.spec.id)
            if not known.spec.is_async:
                return call(known.spec, function, payload, decode, encode)
            if self.kept is None:
                # asyncio costs 36 ms to import: only workers that run coroutines pay for it.
                self.kept = import_module("laneway.lanes._coroutines").KeptLoop()
            found: tuple[str, bytes] = self.kept.run(
                call_async(known.spec, function, payload, decode, encode), is_asked=self.watchdog.is_asked
            )
            return found
        except AttemptStopped as stopped:
            return "stopped", record_of(stopped)
        except BaseException as error:  # noqa: BLE001 - a lane boundary: the interpreter itself loses MemoryError
            return "failure", record_of(error)

    def described(self, number: int) -> bytes:
        """The reply to a question about the unit's tasks."""
        begun = perf_counter()
        try:
            body = encode(describe(self.unit, self.entry), "discovery")
        except BaseException as error:  # noqa: BLE001 - a lane boundary
            body = encode(undescribed(error), "discovery")
        return self.reply(
            frames.DESCRIBED, 0, number, body, self.capture.take(), time(), perf_counter() - begun
        )


def serve(setup_text: str, fds: tuple[int, int, int, int]) -> None:
    """Everything a worker does, from its set-up to the end of its order pipe."""
    setup = decode(setup_text.encode())
    install()
    worker = Worker(setup, fds)
    sys.stdout = worker.capture.stream
    sys.stderr = worker.capture.stream
    worker.watchdog.start()
    cancellation_probe.set(worker.watchdog.is_asked)
    if setup["place"] != "service":
        _attempt.serve_alone(worker.serving)
    limit, level = setup.get("output_limit", 65536), setup.get("log_level", 30)
    when_imported(
        "logging", lambda: import_module("laneway.lanes._worker_logs").attach(worker.capture, limit, level)
    )
    service: Any = None
    if setup["place"] == "service":
        # asyncio and a thread pool: only workers that need them pay for importing them.
        service = import_module("laneway.lanes._service").Service(worker, setup["threads"])
        worker.watchdog.cancel = service.cancel
    if worker.guarded:
        worker.protect(setup)
    if setup.get("artifacts") is not None:
        _attempt.workshop = (setup.get("artifacts"), worker.guard)
    if worker.load():
        (service or worker).serve()
