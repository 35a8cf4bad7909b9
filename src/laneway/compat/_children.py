"""Running a child program: time and memory limits, a scrubbed environment, its lines, and how it ended."""

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

__all__ = ["Limits", "Told", "run_child"]

_HERE = Path(__file__).parent
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_MOST_BYTES = 16 * 2**20
_LAST_WORDS = 300


class Limits(NamedTuple):
    """What one child may use."""

    seconds: float = 60.0
    memory_bytes: int = 4 * 2**30


class Told(NamedTuple):
    """What a child wrote and how it ended: `ended` is empty if it finished its program."""

    lines: tuple[dict[str, Any], ...]
    ended: str
    seconds: float
    words: str
    """The end of what it printed."""


def run_child(interpreter: str, program: str, order: str, limits: Limits) -> Told:
    """Run a program of this package with another interpreter. Never raises for what the child does."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="laneway-compat-", ignore_cleanup_errors=True) as home,
        open(Path(home, ".order"), "w+b") as orders,
        open(Path(home, ".said"), "w+b") as said,
    ):
        orders.write(order.encode("utf-8", "surrogateescape"))
        orders.seek(0)
        results, ours = os.pipe()
        try:
            command = [
                interpreter, "-I", "-S", "-B", "-X", "utf8", "-W", "ignore",
                str(_HERE / "_enter_child.py"), str(_HERE / program), str(ours),
                str(int(limits.seconds)), str(limits.memory_bytes),
            ]  # fmt: skip
            child = subprocess.Popen(
                command,
                stdin=orders,
                stdout=said,
                stderr=said,
                pass_fds=(ours,),
                env=_environment(home),
                cwd=home,
                start_new_session=True,
            )
        except OSError as error:
            os.close(results)
            return Told((), f"cannot be started: {error}", 0.0, "")
        finally:
            os.close(ours)
        try:
            data, is_late = _read(results, child, began + limits.seconds)
        finally:
            _end(child)
            os.close(results)
        lines = _lines(data)
        said.seek(max(0, said.seek(0, os.SEEK_END) - _LAST_WORDS))
        words = said.read().decode("utf-8", "replace").strip()
    return Told(lines, _ended(child.returncode, lines, is_late, limits), time.monotonic() - began, words)


def _environment(home: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """No display, no tokens, no user's folders: what an import finds must not depend on who asks."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), home)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **folders, **one_thread, "PYTHON_COLORS": "0"}


def _read(results: int, child: subprocess.Popen[bytes], until: float) -> tuple[bytes, bool]:
    """Everything that was written before the child ended or its time was over.

    A process it left behind may hold the pipe open: the end of the child counts, not that of the pipe.
    """
    data = b""
    os.set_blocking(results, False)
    ending = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(results, selectors.EVENT_READ)
            selector.register(ending, selectors.EVENT_READ)
            while True:
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    return data, True
                gone = any(key.fd == ending for key, _ in ready)
                more = _available(results)
                data += more
                if gone:
                    return data, False
                if len(data) > _MOST_BYTES:
                    return data, True
                if not more:
                    selector.unregister(results)
    finally:
        os.close(ending)


def _available(results: int) -> bytes:
    data = b""
    while len(data) < _MOST_BYTES:
        try:
            more = os.read(results, 65536)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more
    return data


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and what it started, in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _lines(data: bytes) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for line in data.splitlines():
        try:
            value: object = literal_eval(line.decode("utf-8", "replace"))
        except ValueError, SyntaxError, RecursionError, MemoryError:
            continue
        if isinstance(value, dict):
            found.append(cast("dict[str, Any]", value))
    return tuple(found)


def _ended(status: int, lines: tuple[dict[str, Any], ...], is_late: bool, limits: Limits) -> str:
    if is_late or status == -signal.SIGALRM:
        return f"hang: not over after {limits.seconds:.0f} s"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "unknown"
        return f"crash by signal {-status} ({name})"
    if any("finished" in line for line in lines) and status == 0:
        return ""
    return f"exit: it ended the process with status {status}"
