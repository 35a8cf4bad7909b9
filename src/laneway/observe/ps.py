"""What runs now, told to other processes of the same user over a Unix socket. Costs nothing while nobody asks."""

import asyncio
import logging
import os
import socket
import stat
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from laneway import aio

__all__ = ["Window", "ask", "sockets", "state_of_all"]

log = logging.getLogger("laneway.ps")

type Answer = Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]

_SUFFIX = ".sock"
_LONGEST_PATH = 100
"""Linux takes 107 bytes."""
_MAX_QUESTION = 65_536
_CREDENTIALS = struct.Struct("3i")
_encode = msgspec.json.encode


class Window:
    """Answers questions about one engine.

    Args:
        folder: where sockets are; made with mode 0700.
        engine: the engine's id.
        answer: gives the reply to a question, on the engine's loop.
    """

    def __init__(self, folder: Path, engine: str, answer: Answer) -> None:
        self.path = folder / f"{os.getpid()}-{engine[-12:]}{_SUFFIX}"
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def open(self) -> bool:
        """Begin to listen; False where that cannot be, which is no reason for an engine not to run."""
        try:
            make_private(self.path.parent)
            if len(os.fsencode(self.path)) > _LONGEST_PATH:
                raise OSError(f"{self.path} is too long for a socket")
            self._server = await asyncio.start_unix_server(self._connected, self.path, limit=_MAX_QUESTION)
            self.path.chmod(0o600)
        except OSError as error:
            log.info("`laneway ps` cannot see this engine: %s", error)
            return False
        return True

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in list(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.wait(list(self._busy))
        server.close_clients()
        await server.wait_closed()
        self.path.unlink(missing_ok=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = aio.create_task(self._serve(reader, writer), name="laneway ps")
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question a line, one answer a line, until the other side leaves."""
        try:
            if not _is_same_user(writer.get_extra_info("socket")):
                return
            while line := await reader.readline():
                writer.write(_encode(await self._reply(line)) + b"\n")
                await writer.drain()
        except OSError, ValueError:  # the other side is gone, or sent a line without end
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            question = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            return {"error": f"not a question: {error}"}
        try:
            return await self._answer(question)
        except Exception as error:  # noqa: BLE001 - whoever asks gets it; the engine goes on
            return {"error": f"{type(error).__name__}: {error}"}


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter.

    Raises:
        OSError: it is there and belongs to somebody else, or is open to others.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    if found.st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others: chmod 700 {folder}")


def _is_same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as this user, or as root. The kernel says so, not the process."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the folder's mode is what keeps others out
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return user in (os.getuid(), 0)


def sockets(folder: Path) -> list[Path]:
    """The sockets of engines, those of dead ones too; nothing if the folder is not this user's own."""
    try:
        found = folder.lstat()
    except OSError:
        return []
    if found.st_uid not in (os.getuid(), 0) or not stat.S_ISDIR(found.st_mode):
        return []
    return sorted(folder.glob(f"*{_SUFFIX}"))


def ask(path: Path, question: dict[str, Any], *, seconds: float = 5.0) -> dict[str, Any] | None:
    """An engine's answer; None if no engine is there any more, in which case its socket is removed.

    Raises:
        TimeoutError: it does not answer: a task blocks its event loop, or it is stopped.
        PermissionError: it belongs to another user.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError) as error:
            if isinstance(error, ConnectionRefusedError) and not _lives(path):
                path.unlink(missing_ok=True)
            return None
        try:
            connection.sendall(_encode(question) + b"\n")
            data = bytearray()
            while not data.endswith(b"\n"):
                part = connection.recv(65_536)
                if not part:
                    return None
                data += part
        except ConnectionResetError, BrokenPipeError:  # it closed while we asked
            return None
    found: dict[str, Any] = msgspec.json.decode(data)
    return found


def _lives(path: Path) -> bool:
    """Whether the process that a socket is named after is there: it may be about to listen."""
    pid = path.name.partition("-")[0]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def state_of_all(folder: Path, *, store: str | None = None) -> list[dict[str, Any]]:
    """What every engine of this user does now, oldest first; those of one store if it is named.

    One that does not answer is there with its `pid` and an `error`.
    """
    found: list[dict[str, Any]] = []
    for path in sockets(folder):
        try:
            state = ask(path, {"ask": "state"})
        except (TimeoutError, PermissionError) as error:
            reason = "it does not answer; its event loop is blocked or it is stopped"
            state = {
                "pid": int(path.name.partition("-")[0]),
                "error": reason if isinstance(error, TimeoutError) else str(error),
            }
        if state is not None and (store is None or state.get("store") in (store, None)):
            found.append(state)
    return sorted(found, key=lambda one: float(one.get("started", 0)))
