"""Inside a worker process: calls a task directly, again and again, and times each call. Standard library only.

The worker does nothing else meanwhile: no event loop, no pipe, no JSON within the time that is taken. It is a worker
all the same, so that a package's policy and limits hold, and Ctrl-C can end it.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from hashlib import sha256
from time import perf_counter, process_time
from typing import Any

from laneway._core.failures import failure_of
from laneway._core.model import TaskSpec
from laneway.authoring import spec_of
from laneway.lanes._coroutines import KeptLoop
from laneway.lanes._invoke import call, call_async
from laneway.lanes._load import resolve
from laneway.lanes._reply import decode, encode, plain

__all__ = ["called", "digest_of"]

_SHOWN = 200


def called(spec: dict[str, Any], inputs: list[Any], calls: int) -> dict[str, Any]:
    """Call a task that many times, with the inputs in turn.

    Returns:
        `seconds` of each call, `cpu_seconds` of all, and per call `digests` of what came out; or a `failure` record.
    """
    known = TaskSpec.from_described(spec)
    task = resolve(known.reference)
    own = spec_of(task)
    function = own.function if own is not None and own.function is not None else task
    payloads = [plain(one) for one in inputs]
    stopwatch = _Stopwatch()
    digests: list[str] = []
    shown: dict[str, str] = {}
    loop = KeptLoop() if known.is_async else None
    timed = stopwatch.around_coroutine(function) if loop is not None else stopwatch.around(function)
    try:
        for number in range(calls):
            payload = payloads[number % len(payloads)]
            if loop is not None:
                kind, body = loop.run(call_async(known, timed, payload, decode, encode))
            else:
                kind, body = call(known, timed, payload, decode, encode)
            digest = digest_of(kind, body)
            digests.append(digest)
            shown.setdefault(digest, body[:_SHOWN].decode(errors="replace"))
    except Exception as error:  # noqa: BLE001 - a lane boundary: what the task raises is an answer
        return {"failure": failure_of(error)}
    finally:
        if loop is not None:
            loop.close()
    return {
        "seconds": stopwatch.seconds,
        "cpu_seconds": stopwatch.cpu_seconds,
        "digests": digests,
        "shown": shown,
    }


def digest_of(kind: str, body: bytes) -> str:
    """Equal for outcomes that are equal as JSON: the order of keys and the way of writing do not count."""
    with suppress(
        ValueError
    ):  # nothing, or a number too long for Python to read: then the bytes must be equal
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    return f"{kind}:{sha256(body).hexdigest()[:24]}"


class _Stopwatch:
    """Adds up the time within the task's own code."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def timed(**given: Any) -> Any:
            cpu = process_time()
            begun = perf_counter()
            try:
                return function(**given)
            finally:
                self.seconds.append(perf_counter() - begun)
                self.cpu_seconds += process_time() - cpu

        return timed

    def around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The coroutine function, timed."""

        @wraps(function)
        async def timed(**given: Any) -> Any:
            cpu = process_time()
            begun = perf_counter()
            try:
                return await function(**given)
            finally:
                self.seconds.append(perf_counter() - begun)
                self.cpu_seconds += process_time() - cpu

        return timed
