"""Runs inside runs: the workflow lane, whose steps are runs of another workflow, and runs that a step waits for."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

import msgspec

from laneway._attempt import Here
from laneway._core.context import decode_object, join_object
from laneway._core.errors import ContextError
from laneway._core.failures import KINDS, FailureKind, failure_record
from laneway._core.model import Nested, TaskSpec
from laneway._core.records import ENDED, NO_ITEM, Parent
from laneway.authoring import Workflow
from laneway.engine.arguments import check_start
from laneway.engine.artifact_references import as_json
from laneway.engine.dispatch import Driver
from laneway.engine.handle import RunHandle, RunInterrupted
from laneway.engine.refusals import EngineClosed
from laneway.engine.results import RunResult
from laneway.engine.target import Target
from laneway.nesting import SubWorkflow
from laneway.ports import Capabilities, LaneHealth, Outcome, StepOrder, Unit

__all__ = ["Host", "WorkflowLane"]

type Code = Workflow | Target | str


class Host(Protocol):
    """The engine, as far as nested runs need it."""

    @property
    def start(self) -> Callable[..., Awaitable[RunHandle]]:
        """Starts a run."""
        ...

    @property
    def retry(self) -> Callable[..., Awaitable[RunHandle]]:
        """Tries a failed run again."""
        ...

    @property
    def result(self) -> Callable[[str], Awaitable[RunResult]]:
        """Gives a run as the store has it."""
        ...

    @property
    def cancel(self) -> Callable[[str], Awaitable[None]]:
        """Cancels a run."""
        ...

    def live(self, run: str) -> Driver | None:
        """What drives a run here."""
        ...


class WorkflowLane:
    """Starts inner runs and turns their ends into outcomes.

    An inner run has a key made of the outer step's, so that a step that runs again after a crash finds it. While it
    is suspended the outer step waits too, and holds nothing.
    """

    name = "workflow"
    capabilities = Capabilities(parallel=True, isolated=False, stops="cooperative")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._running = 0

    async def open(self) -> None:
        """Nothing to get ready."""

    async def run(self, order: StepOrder) -> Outcome:
        """Run the inner workflow, or join its run."""
        began = time.time()
        self._running += 1
        try:
            async with asyncio.timeout(order.task.timeout):
                kind, body = await self._ended(order)
        except TimeoutError:
            seconds = order.task.timeout
            message = f"the inner run did not end within its time limit of {seconds} s"
            kind, body = "failure", msgspec.json.encode(failure_record("timeout", "TimeoutError", message))
        except ContextError as error:
            kind, body = (
                "failure",
                msgspec.json.encode(failure_record("missing_key", "MissingKey", str(error))),
            )
        finally:
            self._running -= 1
        return Outcome(kind, body, began, time.time() - began, self.name)  # type: ignore[arg-type]  # one of the kinds

    async def _ended(self, order: StepOrder) -> tuple[str, bytes]:
        inner = order.task.nested
        if inner is None:
            raise TypeError(self.refusal(order.unit, order.task))
        flow, context = self._code_of(order, inner), _context_for(inner, order)
        async with self._begun(order, asyncio.current_task(), flow, context) as handle:
            result = await handle.settled()
        return _outcome_of(result, inner, order)

    async def run_within(
        self, here: Here, workflow: Code, context: Mapping[str, Any] | None, key: str | None
    ) -> RunResult:
        """Run a workflow for a step that waits for it; see `laneway.Context.run`."""
        check_start(key=key, priority=0, tags=None, deadline=None)
        name = _digest(workflow, as_json(dict(context or {}), "context", here.desk)) if key is None else key
        async with self._begun(here.order, here.task, workflow, context, f"/{name}") as handle:
            driver, told = self._host.live(here.order.run), f"run:{handle.id}"
            while True:
                if driver is not None:
                    driver.signals.pop(told, None)  # of an earlier end
                result = await handle.result(check=False)
                if result.status in ENDED or driver is None:
                    return result.checked()
                await driver.waits.heard(told)  # it rests; whoever ends it tells this run

    @asynccontextmanager
    async def _begun(
        self,
        order: StepOrder,
        task: asyncio.Task[Any] | None,
        flow: Code,
        context: Mapping[str, Any] | None,
        name: str = "",
    ) -> AsyncIterator[RunHandle]:
        """A step's inner run: begun, joined, or tried again. It is cancelled if the step is while it waits here."""
        item = NO_ITEM if order.item is None else order.item
        parent = Parent(UUID(order.run).bytes, order.task.id, item)
        driver: Driver | None = None
        handle: RunHandle | None = None
        try:
            driver = self._host.live(order.run)
            key = f"{order.run}/{order.task.id}/{item}{name}"
            handle = await self._host.start(flow, context, key=key, parent=parent)
            if not handle.is_new:
                found = await self._host.result(handle.id)
                if found.status in ("failed", "cancelled"):
                    handle = await self._host.retry(handle.id, flow, only="failed")
            yield handle
        except RunInterrupted, EngineClosed:
            # The engine closes: this step is to run again later, not to fail.
            if task is not None:
                task.cancel()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if handle is not None and (driver is None or driver.stopping not in ("shutdown", "abandoned")):
                await self._host.cancel(handle.id)
            raise

    def _code_of(self, order: StepOrder, inner: Nested) -> Code:
        """The inner workflow as the engine can start it: this program's, or of the file or package of its task."""
        function = order.task.function
        if isinstance(function, SubWorkflow):
            return function.flow
        driver = self._host.live(order.run)
        outer = order.unit.name if driver is None else driver.runnable.reference
        separator = "#" if "#" in outer or order.unit.kind == "package" else ":"
        place = outer.rpartition(separator)[0] or outer
        return Target(inner.workflow, order.unit, f"{place}{separator}{inner.workflow.name}")

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """It only runs workflows, and they only run here."""
        if task.nested is not None:
            return None
        return "it runs workflows, not functions"

    def health(self) -> LaneHealth:
        """How many inner runs are under way."""
        return LaneHealth(self.name, [], 0, self._running, 0, 0)

    async def retire(self, unit_key: str) -> None:
        """Nothing to retire."""

    async def close(self, *, grace: float) -> None:
        """Inner runs are closed like any other."""


def _digest(workflow: Code, context: object) -> str:
    name = workflow if isinstance(workflow, str) else getattr(workflow, "name", "")
    return sha256(json.dumps([name, context], sort_keys=True).encode()).hexdigest()[:32]


def _context_for(inner: Nested, order: StepOrder) -> Mapping[str, Any]:
    seen = decode_object(order.payload)
    if inner.inputs is not None:
        missing = [key for _, key in inner.inputs if key not in seen]
        if missing:
            raise InputMissing(task=order.task.id, key=missing[0])
        seen = {name: seen[key] for name, key in inner.inputs}
    decoded: dict[str, Any] = msgspec.json.decode(join_object(seen))
    return decoded


class InputMissing(ContextError):
    """An inner workflow needs a key that no task before it has set."""

    code = "LW-CTX-003"
    template = "task {task!r} needs {key!r} for its inner workflow, which no task before it has set"


def _outcome_of(result: RunResult, inner: Nested, order: StepOrder) -> tuple[str, bytes]:
    if result.status == "succeeded":
        if inner.output is None:
            return "value", msgspec.json.encode(result.context)
        if inner.output in result.context:
            return "value", msgspec.json.encode(result.context[inner.output])
        message = f"the inner workflow {inner.workflow.name!r} ended without the key {inner.output!r}"
        return "failure", msgspec.json.encode(failure_record("missing_key", "MissingKey", message))
    if result.status not in ENDED:
        return "suspension", msgspec.json.encode({"signal": f"run:{result.id}", "child": result.id})
    error = result.error or {
        "kind": "other",
        "type": "Cancelled",
        "message": "it was cancelled",
        "traceback": "",
    }
    where = f" at task {error['task']!r}" if error.get("task") else ""
    message = f"inner run {result.id} of {inner.workflow.name!r} failed{where}: {error.get('message', '')}"
    known: list[FailureKind] = [one for one in KINDS if one == error["kind"]]
    kind: FailureKind = known[0] if known else "other"
    record = failure_record(kind, error.get("type", "Cancelled"), message, error.get("traceback", ""))
    return "failure", msgspec.json.encode(record)
