"""Tasks that the lane conformance suite runs: each shows one way an attempt can go. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from laneway.authoring import cancelled, task

__all__: list[str] = []

# Results -----------------------------------------------------------------------------------------------------


@task
def echo(data: Any) -> Any:
    """Give back what came in."""
    return data


@task
async def echo_async(data: Any) -> Any:
    """Give back what came in, after a turn of the loop."""
    await asyncio.sleep(0)
    return data


@task
def defaulted(data: Any = "default") -> Any:
    """A parameter that may stay unprovided."""
    return data


@task
async def defaulted_async(data: Any = "default") -> Any:
    """A parameter that may stay unprovided."""
    return data


@task
def nested_change(context: dict[str, Any]) -> None:
    """Change the context deep inside, delete a key, set a key to an equal value of another type."""
    context["deep"]["list"][1]["x"] = "changed"
    del context["gone"]
    context["one"] = True
    context["same"] = context["same"]


@task
async def nested_change_async(context: dict[str, Any]) -> None:
    """The same as a coroutine."""
    nested_change(context)


@task
def returns_mapping(context: dict[str, Any]) -> dict[str, Any]:
    """A mapping with one new key and one that the context has with the same value."""
    return {"new": 1, "same": context["same"]}


@task
async def returns_mapping_async(context: dict[str, Any]) -> dict[str, Any]:
    """The same as a coroutine."""
    return returns_mapping(context)


@task
def missing_key(context: dict[str, Any]) -> Any:
    """Ask the context for what nothing set."""
    return {"found": context["nothing"]}


@task
async def missing_key_async(context: dict[str, Any]) -> Any:
    """The same as a coroutine."""
    return missing_key(context)


@task(when=lambda data: data > 10)
def only_large(data: int) -> int:
    """Skipped for small data."""
    return data


@task(when=lambda data: data > 10)
async def only_large_async(data: int) -> int:
    """Skipped for small data."""
    return data


_NOT_JSON: dict[str, Any] = {
    "nan": float("nan"),
    "tuple": (1, 2),
    "set": {1},
    "bytes": b"x",
    "key": {1: "one"},
    "surrogate": "\ud800",
    "subclass": type("Text", (str,), {})("x"),
}


@task
def not_json(which: str) -> Any:
    """A result with something inside that JSON cannot hold."""
    return {"rows": [0, {"when": _NOT_JSON[which]}]}


@task
async def not_json_async(which: str) -> Any:
    """The same as a coroutine."""
    return not_json(which)


@task
def prints(data: str) -> int:
    """Print to both streams."""
    print(f"out {data}")  # noqa: T201 - what is captured
    print(f"err {data}", file=sys.stderr)  # noqa: T201 - what is captured
    return 1


@task
async def prints_async(data: str) -> int:
    """The same as a coroutine."""
    return prints(data)


@task
def leaves_traces(data: int) -> dict[str, int]:
    """How many threads and descriptors the worker has."""
    return {"threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd"))}


@task
async def leaves_traces_async(data: int) -> dict[str, int]:
    """The same as a coroutine."""
    return leaves_traces(data)


# Failures ----------------------------------------------------------------------------------------------------


class Unpicklable(Exception):
    """Cannot be pickled, nor rebuilt from its arguments."""

    def __init__(self, first: Any, second: Any) -> None:
        self.lock = threading.Lock()
        super().__init__(f"{first} and {second}")


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _chained() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as second:
        second.add_note("a note on second")
        raise RuntimeError("third") from second


def _group() -> None:
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [TypeError("two")])])


def _recursion() -> None:
    _recursion()


_RAISES: dict[str, Any] = {
    "chained": _chained,
    "group": _group,
    "recursion": _recursion,
    "syntax": lambda: compile("x = = 1", "<generated>", "exec"),
    "unpicklable": lambda: _raise(Unpicklable("this", "that")),
    "unprintable": lambda: _raise(Unprintable()),
    "exit": lambda: _raise(SystemExit(3)),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator_exit": lambda: _raise(GeneratorExit()),
    "memory": lambda: _raise(MemoryError()),
    "import": lambda: __import__("there_is_no_such_module"),
    "type": lambda: len(5),  # type: ignore[arg-type]  # the mistake is the point
    "timeout": lambda: _raise(TimeoutError("the far end is silent")),
    "surrogate": lambda: _raise(ValueError("bad \ud800 text")),
}


def _raise(error: BaseException) -> None:
    raise error


@task
def raises(which: str) -> None:
    """Fail in one of many ways."""
    _RAISES[which]()


@task
async def raises_async(which: str) -> None:
    """The same as a coroutine."""
    _RAISES[which]()


# Being stopped -----------------------------------------------------------------------------------------------


@task
def cooperative(seconds: float) -> str:
    """Look at `cancelled()` between small waits."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < end:
        if cancelled():
            return "stopped early"
        pause.wait(0.005)
    return "ran through"


@task
async def cooperative_async(seconds: float) -> str:
    """A coroutine that waits."""
    await asyncio.sleep(seconds)
    return "ran through"


@task
def endless_loop(seconds: float) -> int:
    """Pure Python without end."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        count += 1
    return count


@task
def swallows_everything(seconds: float) -> int:
    """A loop that catches whatever is thrown at it three times."""
    caught, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                pass
        except BaseException:
            caught += 1
            if caught > 3:
                raise
    return caught


@task
def sleeps(seconds: float) -> None:
    """One long `time.sleep`."""
    time.sleep(seconds)


@task
def reads_socket(seconds: float) -> None:
    """A blocking read that nothing answers."""
    here, there = socket.socketpair()
    here.settimeout(seconds)
    with here, there:
        here.recv(1)


@task
def catastrophic_expression(seconds: float) -> None:
    """A regular expression that backtracks for ages inside C."""
    re.match(r"(a+)+$", "a" * 64 + "b")


@task
def long_c_call(seconds: float) -> int:
    """One long call into C that never comes back to the interpreter."""
    return sum(range(10**12))


@task
def deadlocked(seconds: float) -> None:
    """Wait for a lock that this thread holds."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


@task
def stubborn_child(seconds: float) -> int:
    """A child process that ignores SIGTERM, waited for."""
    code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep({seconds})"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode


@task
async def stubborn_coroutine(seconds: float) -> int:
    """A coroutine that catches its cancellation three times."""
    caught = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(end - time.monotonic())
        except asyncio.CancelledError:
            caught += 1
            if caught > 3:
                raise
    return caught


# Dying -------------------------------------------------------------------------------------------------------


@task
def exits_at_once(code: int) -> None:
    """End the process without a word."""
    os._exit(code)


@task
def segmentation_fault(data: Any) -> None:
    """Read from address 0."""
    import ctypes  # noqa: PLC0415 - only this task needs it

    ctypes.string_at(0)
