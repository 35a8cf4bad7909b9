"""The disposable process around workers: a script without imports from Laneway, so that it starts fast.

Usage: python -I -S _host.py SOCKET LANEWAY_PARENT ENGINE_PID. The engine sends one message per worker over the
socket, with the worker's four descriptors. When the socket closes, the engine is gone and so is this process.
"""

import _socket
import _thread
import faulthandler
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from socket import socket
    from typing import Any
else:
    import _signal as signal  # without the enumerations, which take 3 ms

BOOT = """
import sys
from _frozen_importlib_external import PathFinder  # importlib.machinery brings warnings along

class LanewayFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{home!r}]) if name == "laneway" else None

sys.meta_path.insert(0, LanewayFinder)
from laneway.lanes._shim import serve
serve({setup!r}, {fds!r})
"""
"""What a worker runs first: it finds `laneway` and nothing else of the engine's site-packages."""

PR_SET_PDEATHSIG = 1

DUMP = "dump "
"""Begins a message that asks for the stack of the named worker, in the process's log."""


def receive(link: socket) -> tuple[str, tuple[int, ...]] | None:
    """One message: four bytes of length, JSON, and the descriptors that came along. None at the end."""
    head = b""
    fds: tuple[int, ...] = ()
    while len(head) < 4:
        data, extra, _, _ = link.recvmsg(4 - len(head), _socket.CMSG_SPACE(16))
        if not data:
            return None
        for level, kind, raw in extra:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                fds += struct.unpack(f"{len(raw) // 4}i", raw)
        head += data
    (size,) = struct.unpack("<I", head)
    body = b""
    while len(body) < size:
        data = link.recv(size - len(body))
        if not data:
            return None
        body += data
    return body.decode(), fds


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when the engine dies, also while C code keeps every thread from running."""
    try:
        import _ctypes  # noqa: PLC0415 - not every build has it

        library: Any = None  # the process itself
        prctl = _ctypes.dlsym(_ctypes.dlopen(library, 0), "prctl")
        _ctypes.call_function(prctl, (PR_SET_PDEATHSIG, int(signal.SIGKILL)))
    except ImportError, OSError, AttributeError, TypeError:
        return  # the socket's end does the same a little later
    if os.getppid() != parent:
        os._exit(0)


def say(text: str) -> None:
    """Tell the engine something for people: it keeps the last of what this process prints."""
    os.write(2, f"{text}\n".encode("utf-8", "replace"))


def run_interpreter(boot: str, fds: tuple[int, ...], report: Callable[[str], None] = say) -> None:
    """Serve one worker in an interpreter of its own, on this thread, until its order pipe closes."""
    import _interpreters  # noqa: PLC0415 - not every build has it, and plain processes need none

    number = _interpreters.create("isolated", reqrefs=False)
    try:
        failed = _interpreters.exec(number, boot)
        if failed is not None:
            report(f"worker ended: {failed.formatted}")
    finally:
        for fd in fds:
            os.close(fd)
        try:
            _interpreters.destroy(number)
        except Exception as error:  # noqa: BLE001 - task code left threads behind; the whole host goes later
            report(f"interpreter not destroyed: {error}")


def dump(thread: int | None) -> None:
    """Have that thread's stack written to the log, also while C code holds its interpreter."""
    if thread is not None:
        try:
            signal.pthread_kill(thread, signal.SIGUSR1)
        except OSError:
            return  # it has ended


def watch(link: socket) -> None:
    """End the process as soon as the engine is gone."""
    while receive(link) is not None:
        continue
    os._exit(0)


def main() -> None:
    """Serve workers until the engine closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link: Any = _socket.socket(fileno=int(sys.argv[1]))
    home, parent = sys.argv[2], int(sys.argv[3])
    die_with_parent(parent)
    faulthandler.enable(all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=False)
    threads: dict[str, int] = {}
    while (message := receive(link)) is not None:
        setup, fds = message
        if setup.startswith(DUMP):
            dump(threads.get(setup[len(DUMP) :]))
            continue
        boot = BOOT.format(home=home, setup=setup, fds=fds)
        if setup.startswith('{"shell":"process"'):
            _thread.start_new_thread(watch, (link,))
            sys.argv[:] = [""]
            try:
                exec(compile(boot, "<laneway>", "exec"), {"__name__": "__laneway_boot__"})
            except BaseException as error:  # noqa: BLE001 - never wait for threads at the end: say why, and go
                say(f"worker ended: {type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        name = setup.partition('"name":"')[2].partition('"')[0]
        threads[name] = _thread.start_new_thread(run_interpreter, (boot, fds))
    os._exit(0)


if __name__ == "__main__":
    main()
