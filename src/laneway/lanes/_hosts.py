"""Host processes: started cheaply, owned by one engine, holding the workers of several units, thrown away when sick."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["LANEWAY_PARENT", "Host"]

_SCRIPT = str(Path(__file__).with_name("_host.py"))
LANEWAY_PARENT = str(Path(__file__).resolve().parents[2])
_KEPT_BYTES = 8192


class Host:
    """One host process and the ends of its pipes that the engine holds."""

    last_rung = "kill"
    tells = hasattr(signal, "SIGUSR1")
    """Whether `dump` has the process print a stack."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gone: Callable[[Host], None],
        environment: dict[str, str] | None = None,
    ) -> None:
        self._loop = loop
        self._gone = gone
        self.workers: set[Any] = set()
        self.environment = environment
        """What its workers see of the program's environment; None for all of it."""
        self.exclusive = False
        """True where no other worker may join: suspects, limits of one package, plain processes."""
        self.closing = False
        """True once no new worker may join."""
        self.blamed: object | None = None
        """The flight for whose sake the host was killed."""
        self.dead = False
        self._printed = b""
        self._plain = False
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        flags = ["-I", "-S"]
        if sys.pycache_prefix:
            flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *flags, _SCRIPT, str(theirs.fileno()), LANEWAY_PARENT, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                env=environment,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        except BaseException:
            ours.close()
            os.close(log_read)
            raise
        finally:
            theirs.close()
            os.close(log_write)
        self._link = ours
        self._log = log_read
        os.set_blocking(log_read, False)
        loop.add_reader(log_read, self._read_log)
        self._pidfd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else -1
        if self._pidfd >= 0:
            loop.add_reader(self._pidfd, self._ended)
        else:
            ours.setblocking(False)
            loop.add_reader(ours.fileno(), self._ended)

    @property
    def pid(self) -> int:
        """The process's id, which is its process group's too."""
        return self._process.pid

    def memory_mib(self) -> float:
        """What the process holds in memory; 0 where that cannot be told."""
        try:
            with open(f"/proc/{self._process.pid}/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1024 * 1024)
        except OSError, ValueError:
            return 0.0

    def start_worker(self, setup: str, fds: list[int]) -> None:
        """Hand a worker's descriptors and set-up over. Raises OSError when the host is dead."""
        body = setup.encode()
        self._link.setblocking(True)
        socket.send_fds(self._link, [struct.pack("<I", len(body))], fds)
        self._link.sendall(body)
        self._plain = setup.startswith('{"shell":"process"')

    def kill(self, blamed: object | None = None) -> None:
        """End the process and everything in its group, now."""
        self.closing = True
        if blamed is not None and self.blamed is None:
            self.blamed = blamed
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        if self.dead:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def dump(self, worker: str) -> None:
        """Have a worker's stack written to the host's log, even while C code holds its interpreter."""
        if self.dead or not hasattr(signal, "SIGUSR1"):
            return
        if self._plain:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGUSR1)
        else:
            body = f"dump {worker}".encode()
            with suppress(OSError):
                self._link.sendall(struct.pack("<I", len(body)) + body)

    def close(self) -> None:
        """Let the process end by itself: its socket closes."""
        self.closing = True
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _read_log(self) -> None:
        try:
            while data := os.read(self._log, 65536):
                self._printed = (self._printed + data)[-_KEPT_BYTES:]
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._loop.remove_reader(self._log)

    def printed(self) -> str:
        """The last of what the process itself printed, such as the stack of a crash."""
        return self._printed.decode("utf-8", "replace").strip()

    def reason(self) -> str:
        """How the process ended, in words."""
        status = self._process.returncode
        if status is None:
            return "is still running"
        if status < 0:
            try:
                name = signal.Signals(-status).name
            except ValueError:
                name = f"signal {-status}"
            return f"was ended by {name}"
        return f"exited with status {status}"

    def _ended(self) -> None:
        if self.dead:
            return
        self.closing = True
        try:
            self._process.wait(timeout=0 if self._pidfd >= 0 else 1)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._signal_group(signal.SIGKILL)  # what the process left behind in its group
        self.dead = True
        self._read_log()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        else:
            self._loop.remove_reader(self._link.fileno())
        self._loop.remove_reader(self._log)
        os.close(self._log)
        self._link.close()
        self._gone(self)
