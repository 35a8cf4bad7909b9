"""The disposable process around workers: a script without imports from Laneway, so that it starts fast.

Usage: python -I -S _host.py SOCKET LANEWAY_PARENT. The engine sends one message per worker over the socket, with the
worker's four descriptors. When the socket closes, the engine is gone and so is this process.
"""

import _socket
import _thread
import faulthandler
import os
import signal
import struct
import sys

BOOT = """
import sys
from importlib.machinery import PathFinder

class LanewayFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{home!r}]) if name == "laneway" else None

sys.meta_path.insert(0, LanewayFinder)
from laneway.lanes._shim import serve
serve({setup!r}, {fds!r})
"""

PR_SET_PDEATHSIG = 1


def receive(link):
    """One message: four bytes of length, JSON, and the descriptors that came along. None at the end."""
    head, fds = b"", []
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
    return body.decode(), tuple(fds)


def die_with_parent(parent):
    """Ask Linux to kill this process when the engine dies, also while C code keeps every thread from running."""
    try:
        import _ctypes

        _ctypes.call_function(
            _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl"), (PR_SET_PDEATHSIG, int(signal.SIGKILL))
        )
    except ImportError, OSError, AttributeError, TypeError:
        return  # the socket's end does the same a little later
    if os.getppid() != parent:
        os._exit(0)


def run_interpreter(boot, fds):
    """Serve one worker in an interpreter of its own, on this thread, until its order pipe closes."""
    import _interpreters

    number = _interpreters.create("isolated", reqrefs=False)
    try:
        failed = _interpreters.exec(number, boot)
        if failed is not None:
            os.write(2, f"worker ended: {failed.formatted}\n".encode("utf-8", "replace"))
    finally:
        for fd in fds:
            try:
                os.close(fd)
            except OSError:
                continue
        try:
            _interpreters.destroy(number)
        except (
            Exception
        ) as error:  # task code may have left threads behind: the host is thrown away as a whole later
            os.write(2, f"interpreter not destroyed: {error}\n".encode("utf-8", "replace"))


def watch(link):
    """End the process as soon as the engine is gone."""
    while receive(link) is not None:
        continue
    os._exit(0)


def main():
    """Serve workers until the engine closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = _socket.socket(fileno=int(sys.argv[1]))
    home, parent = sys.argv[2], int(sys.argv[3])
    die_with_parent(parent)
    faulthandler.enable(all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    while (message := receive(link)) is not None:
        setup, fds = message
        boot = BOOT.format(home=home, setup=setup, fds=fds)
        if setup.startswith('{"shell":"process"'):
            _thread.start_new_thread(watch, (link,))
            sys.argv[:] = [""]
            exec(compile(boot, "<laneway>", "exec"), {"__name__": "__laneway_boot__"})
            os._exit(0)
        _thread.start_new_thread(run_interpreter, (boot, fds))
    os._exit(0)


main()
