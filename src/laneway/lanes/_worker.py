"""The engine's end of one worker: its pipes, the orders in flight on it, and what it answers."""

# What frames and JSON hold has no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from laneway._core.model import TaskSpec
from laneway.lanes import _frames as frames
from laneway.lanes._codec import decode
from laneway.lanes._flight import Flight
from laneway.lanes._hosts import Host
from laneway.lanes._inline import InlineHost
from laneway.lanes._relay import LogText, relay

__all__ = ["Worker"]

_CHUNK = 65536
_encode = msgspec.json.Encoder().encode


class Worker:
    """Writes orders without blocking and coalesced, reads replies in order.

    Args:
        host: the process it lives in.
        setup: what the shim needs to know.
        replied: called with (worker, flight or None, kind, flags, body, printed, started, duration).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host | InlineHost,
        setup: dict[str, Any],
        name: str,
        replied: Callable[..., None],
    ) -> None:
        self._loop = loop
        self.host = host
        self.name = name
        self._replied = replied
        self.flights: deque[Flight] = deque()
        self.by_number: dict[int, Flight] = {}
        """Flights of a concurrent worker, whose replies come in any order."""
        self.concurrent = setup["place"] == "service"
        self.load = 0.0
        self.ready = False
        self.ending = False
        """True once it takes no more orders."""
        self.idle_since = 0.0
        self.served = 0
        self.counted = 0
        """What `served` was at the last heartbeat."""
        self.asked = 0.0
        """Loop time of a question whether it is there that it has not answered yet; else 0."""
        self.born = loop.time()
        self.timer: asyncio.TimerHandle | None = None
        self.suspicious = False
        """True while it runs, one by one and alone, what may have killed another worker."""
        self._numbers: dict[str, int] = {}
        self._next = 0
        self._outbox: list[bytes] = []
        self._flushing = False
        self._blocked = False
        self._large = memoryview(b"")
        self._rest: bytes = b""
        self._need = 0
        self._parts: list[bytes] = []
        self._printed = LogText()
        self._about: dict[str, Any] = {}
        self._closed = False
        order_read, self._orders = os.pipe()
        self._outcomes, outcome_write = os.pipe()
        self._log, log_write = os.pipe()
        self._control, control_theirs = socket.socketpair()
        theirs = [order_read, outcome_write, control_theirs.fileno(), log_write]
        try:
            host.start_worker(json.dumps(setup, separators=(",", ":")), theirs)
        except OSError:
            for fd in (self._orders, self._outcomes, self._log):
                os.close(fd)
            self._control.close()
            raise
        finally:
            for fd in (order_read, outcome_write, log_write):
                os.close(fd)
            control_theirs.close()
        for fd in (self._orders, self._outcomes, self._log):
            os.set_blocking(fd, False)
        self._control.setblocking(False)
        loop.add_reader(self._outcomes, self._read)
        loop.add_reader(self._log, self._read_log)
        loop.add_reader(self._control, self._answered)
        host.workers.add(self)

    def send(self, flight: Flight) -> None:
        """Hand an order over; it is written at once when the worker is idle, else with the next ones."""
        self._next = number = (self._next + 1) & 0xFFFFFFFF or 1
        flight.number = number
        flight.worker = self
        order = flight.order
        if order is None:
            data = frames.ORDER.pack(frames.DESCRIBE, 0, number, 0)
        else:
            reference = order.task.reference
            task = self._numbers.get(reference)
            if task is None:
                task = self._register(order.task)
            data = frames.ORDER.pack(frames.RUN, task, number, len(order.payload)) + order.payload
            about = order.metadata
            if about is not self._about and (about or self._about):
                self._about = about
                described = _encode(about)
                data = frames.ORDER.pack(frames.ABOUT, 0, 0, len(described)) + described + data
        idle = not self.flights and not self.by_number
        if self.concurrent:
            self.by_number[number] = flight
        else:
            self.flights.append(flight)
        self.load += flight.expect
        self._write(data, at_once=idle)

    def _register(self, spec: TaskSpec) -> int:
        number = self._numbers[spec.reference] = len(self._numbers) + 1
        described = _encode(spec.described())
        self._write(frames.ORDER.pack(frames.REGISTER, number, 0, len(described)) + described, at_once=False)
        return number

    def _write(self, data: bytes, *, at_once: bool) -> None:
        self._outbox.append(data)
        if self._blocked:
            return
        if at_once:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        outbox = self._outbox
        if not outbox or self._closed or self._blocked:
            return
        data = outbox[0] if len(outbox) == 1 else b"".join(outbox)
        outbox.clear()
        try:
            written = os.write(self._orders, data)
        except BlockingIOError:
            written = 0
        except OSError:  # the worker is gone; its end is noticed through its host or its outcome pipe
            return
        if written < len(data):
            self._large = memoryview(data)[written:]
            self._blocked = True
            self._loop.add_writer(self._orders, self._write_more)

    def _write_more(self) -> None:
        try:
            written = os.write(self._orders, self._large)
        except BlockingIOError:
            return
        except OSError:
            self._loop.remove_writer(self._orders)
            return
        self._large = self._large[written:]
        if not self._large:
            self._loop.remove_writer(self._orders)
            self._blocked = False
            if self._outbox:
                self._flush()

    def _read(self) -> None:
        try:
            data = os.read(self._outcomes, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._outcomes)
            self._replied(self, None, -1, 0, b"", 0, 0.0, 0.0, ())
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        if self._need:
            self._parts.append(data)
            self._need -= len(data)
            if self._need > 0:
                return
            data = b"".join(self._parts)
            self._parts = []
            self._need = 0
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        reply = frames.REPLY
        size = reply.size
        at = 0
        total = len(data)
        while total - at >= size:
            kind, flags, refused, number, length, printed, started, duration = reply.unpack_from(data, at)
            end = at + size + length
            if end > total:
                self._parts = [data[at:]]
                self._need = end - total
                return
            body = data[at + size : end]
            at = end
            flight: Flight | None = None
            if flags & frames.LOGGED:  # while the order is known: what it logged was written before its reply
                self._read_log()
            if number:
                if self.concurrent:
                    flight = self.by_number.pop(number)
                else:
                    flight = self.flights.popleft()
                self.load -= flight.expect
            refusals: tuple[str, ...] = ()
            if refused:
                refusals = tuple(decode(body[-refused:]))
                body = body[:-refused]
            self._replied(self, flight, kind, flags, body, printed, started, duration, refusals)
        if at < total:
            self._rest = data[at:]

    def drain(self) -> None:
        """Read what a dead worker still said."""
        while (
            not self._closed
        ):  # what it said may have been its last word, and its pipes somebody else's by now
            try:
                data = os.read(self._outcomes, _CHUNK)
            except OSError:
                return
            if not data:
                return
            self._take(data)

    def _read_log(self) -> None:
        if self._closed:
            return
        try:
            data = os.read(self._log, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._log)
            return
        for line in self._printed.add(data):
            flight = self._flight(line.number)
            if flight is None:
                relay(line, None, "", self.name)
            else:
                relay(line, flight.order, flight.lane, self.name)
        if len(data) == _CHUNK:
            self._read_log()

    def _flight(self, number: int) -> Flight | None:
        if self.concurrent:
            return self.by_number.get(number)
        return next((flight for flight in self.flights if flight.number == number), None)

    def output(self, size: int) -> str:
        """The next `size` bytes that the worker printed; with -1 all there is."""
        printed = self._printed
        while size < 0 or len(printed.text) < size:
            before = len(printed.text)
            self._read_log()
            if len(printed.text) == before:
                break
        if size < 0:
            size = len(printed.text)
        text, printed.text = printed.text[:size], printed.text[size:]
        return text.decode("utf-8", "replace")

    def tell(self, kind: int, number: int = 0) -> None:
        """Send a word to the watchdog."""
        with suppress(OSError):
            self._control.send(frames.CONTROL.pack(kind, number))

    def _answered(self) -> None:
        """The watchdog said something: whatever it is, the worker is there."""
        try:
            data = self._control.recv(_CHUNK)
        except OSError:
            data = b""
        self.asked = 0.0
        if not data:
            self._loop.remove_reader(self._control)

    def abandon(self) -> None:
        """Close the pipes when there is no event loop any more."""
        if not self._closed:
            self._closed = True
            os.close(self._orders)
            self._control.close()

    def close(self) -> None:
        """Close the engine's ends: the worker ends after what it runs."""
        if self._closed:
            return
        self._closed = self.ending = True
        self.host.workers.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        loop = self._loop
        if self._blocked:
            loop.remove_writer(self._orders)
        loop.remove_reader(self._control)
        for fd in (self._outcomes, self._log):
            loop.remove_reader(fd)
            os.close(fd)
        os.close(self._orders)
        self._control.close()
        if not self.host.workers:
            self.host.close()
