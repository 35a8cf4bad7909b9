"""The loop lane: coroutines on the engine's own event loop. The cheapest place, and the one nothing is kept out of."""

import asyncio
from time import perf_counter, time
from typing import Any

from laneway._core.failures import failure_of, failure_record
from laneway._core.model import TaskSpec
from laneway.lanes._codec import decode, encode, failure_body
from laneway.lanes._fleet import Fleet
from laneway.lanes._invoke import call_async
from laneway.lanes._reach import unenforceable
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["LoopLane"]

_REPEAT_SECONDS = 1.0


class LoopLane:
    """Runs coroutine functions in the asyncio task that awaits `run`.

    Tasks of packages run on a loop inside the package's own worker instead: their code never enters this process.
    """

    name = "loop"
    capabilities = Capabilities(parallel=False, isolated=False, stops="cooperative")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._running = 0

    async def open(self) -> None:
        """Nothing to start."""
        await self._fleet.open()

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt; see `laneway.ports.Lane.run`. A coroutine that blocks the loop cannot be stopped."""
        spec = order.task
        function = spec.function
        if function is None:
            return await self._fleet.run(order, "loop")
        if not spec.is_async:
            return _refused(spec)
        limit = None if spec.timeout is None else _Limit(spec.timeout)
        self._running += 1
        started = time()
        begun = perf_counter()
        try:
            kind, body = await call_async(spec, function, order.payload, decode, encode)
        except asyncio.CancelledError as cancelled:
            if limit is None or not limit.fired or limit.withdraw():
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    cancelled.stopped_by = "ask"  # type: ignore[attr-defined]  # for whoever records the attempt
                    raise
            kind, body = "failure", failure_body(failure_of(cancelled))
        except (KeyboardInterrupt, SystemExit, Exception) as error:  # noqa: BLE001 - a lane boundary
            kind, body = "failure", failure_body(failure_of(error))
        except BaseException as error:  # noqa: BLE001 - a lane boundary: GeneratorExit too is the task's failure
            kind, body = "failure", failure_body(failure_of(error))
        finally:
            self._running -= 1
            if limit is not None:
                limit.end()
        duration = perf_counter() - begun
        if limit is not None and limit.fired:
            return Outcome("failure", timed_out(spec, "ask"), started, duration, "loop", "", "ask")
        return Outcome(kind, body, started, duration, "loop")  # type: ignore[arg-type]  # one of the kinds

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Plain functions are refused: they would block the loop."""
        if not task.is_async:
            return "it is not a coroutine function and would block the event loop"
        return unenforceable(unit, task, "loop")

    def health(self) -> LaneHealth:
        """What runs on the loop right now."""
        return LaneHealth("loop", self._fleet.describe("loop"), 0, self._running, 0, 0)

    async def retire(self, unit_key: str) -> None:
        """Let a package's worker finish, then close it."""
        await self._fleet.retire(unit_key, "loop")

    async def close(self, *, grace: float) -> None:
        """Close the workers that the fleet holds for this lane."""
        await self._fleet.close(grace=grace)


def timed_out(spec: TaskSpec, rung: str) -> bytes:
    """The failure record of an attempt that was over its time limit."""
    return failure_body(
        failure_record(
            "timeout", "TimeoutError", f"task {spec.id!r} ran longer than its limit of {spec.timeout:g} s"
        )
        if rung != "quarantine"
        else failure_record(
            "timeout",
            "TimeoutError",
            f"task {spec.id!r} ran longer than its limit of {spec.timeout:g} s and could not be stopped: "
            "its thread is in quarantine and still running. Use the interpreter or the process lane for it",
        )
    )


def _refused(spec: TaskSpec) -> Outcome:
    message = (
        f"task {spec.id!r} is not a coroutine function and would block the event loop. Use the thread lane"
    )
    return Outcome(
        "failure", failure_body(failure_record("other", "LaneUnsuitable", message)), time(), lane="loop"
    )


class _Limit:
    """A time limit on the current asyncio task: cancels it, again and again while it swallows that."""

    __slots__ = ("_handle", "_requests", "_task", "fired")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a running asyncio task")
        self._task: asyncio.Task[Any] = task
        self._requests = 0
        self.fired = False
        self._handle = task.get_loop().call_later(seconds, self._fire)

    def _fire(self) -> None:
        self.fired = True
        self._requests += 1
        self._handle = self._task.get_loop().call_later(_REPEAT_SECONDS, self._fire)
        self._task.cancel()

    def withdraw(self) -> bool:
        """Take the own requests back; True when somebody else wants the task cancelled as well."""
        while self._requests:
            self._requests -= 1
            self._task.uncancel()
        return self._task.cancelling() > 0

    def end(self) -> None:
        self._handle.cancel()
        self.withdraw()
