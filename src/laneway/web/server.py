"""Serving an ASGI application from an asyncio program, until told to stop. Needs the extra `web`."""

import asyncio
import contextlib
import ipaddress
import math
import socket
from collections.abc import Iterator
from typing import Any

from laneway import aio
from laneway.web import WebUnavailable

__all__ = ["is_loopback", "listening", "serve"]

_BACKLOG = 512
_AT_ONCE = 1000
"""Connections at one time; others are told to come again."""


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can call that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        OSError: the address is taken, or not one of this machine.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found


async def serve(app: Any, listens: socket.socket, *, stop: asyncio.Event, grace: float) -> None:
    """Answer calls until `stop` is set, then let those under way end within the grace period.

    Raises:
        WebUnavailable: uvicorn is not installed.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise WebUnavailable(reason=str(error)) from error

    class Server(uvicorn.Server):
        """Leaves signals to the program."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=max(1, math.ceil(grace)),
    )
    server = Server(config)
    serving = aio.create_task(server.serve(sockets=[listens]), name="web server")
    stopping = aio.create_task(stop.wait(), name="web server stop")
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
