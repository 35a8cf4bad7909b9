"""How engines on one host wake each other without polling: a datagram socket per engine, named after it."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterable

__all__ = ["Nudges"]


class Nudges:
    """Listens under an engine's name and nudges others by theirs.

    Uses Linux' abstract socket names, which need no file and vanish with their process. Elsewhere, and where another
    container holds the other engine, a nudge is lost; what it would have told is then seen with the next heartbeat.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, engine: str, nudged: Callable[[], None] | None) -> None:
        """Call `nudged` on the running loop whenever somebody nudges that engine."""
        self.close()
        if nudged is None or sys.platform != "linux":
            return
        loop = asyncio.get_running_loop()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.setblocking(False)
        try:
            listening.bind(_name(engine))
        except OSError:
            listening.close()
            return

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    listening.recv(16)
            nudged()

        loop.add_reader(listening, readable)
        self._socket, self._loop = listening, loop

    def send(self, engines: Iterable[str]) -> None:
        """Nudge those engines; the dead and the busy are passed over."""
        names = list(engines)
        if not names or sys.platform != "linux":
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            for engine in names:
                with contextlib.suppress(OSError):  # gone, or its buffer is full: then it is awake already
                    sending.sendto(b"!", _name(engine))

    def reaches(self, engine: str) -> bool:
        """Whether nudges of that engine arrive: it listens, where this process can see it."""
        if self._socket is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as trying:
            try:
                trying.connect(_name(engine))
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._socket is not None and self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


def _name(engine: str) -> str:
    return f"\0laneway/{engine}"
