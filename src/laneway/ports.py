"""The protocols between the engine and what it drives: Lane, Store, Clock, Sink, and the records that cross them."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from laneway._core.events import Event
from laneway._core.model import TaskSpec
from laneway._core.records import RunRecord, SavedRun, Submission, Transition

__all__ = [
    "Capabilities",
    "Clock",
    "EngineCard",
    "Lane",
    "LaneHealth",
    "Outcome",
    "OutcomeKind",
    "Sink",
    "StepOrder",
    "Stops",
    "Store",
    "Unit",
]

type Stops = Literal["cooperative", "interrupts", "kills"]
type OutcomeKind = Literal["value", "patch", "failure", "skipped", "suspension", "stopped"]


class Unit(msgspec.Struct, frozen=True):
    """The code that a worker must load to run a task: one package, one importable module, or one script.

    `key` identifies it: two units with the same key are interchangeable. `paths` go ahead of everything else on the
    worker's `sys.path` (a package's `src`, then `vendor`). `inherited` is the program's own `sys.path`, given to units
    that are not packages. A package's worker sees `paths`, the standard library and `laneway`, nothing else.
    """

    key: str
    kind: Literal["package", "module", "script"]
    entry: str
    """Module name to import, or the script's file."""
    paths: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    name: str = ""
    """For people: the package's name and version, the module or the file."""
    policy: tuple[tuple[str, Any], ...] = ()
    limits: tuple[tuple[str, Any], ...] = ()


class StepOrder(msgspec.Struct, frozen=True):
    """One attempt of one step, as a lane sees it.

    `payload` is a JSON object: the task's arguments by name (value style), or the whole context (context style).
    It is the lane's to decode: each attempt gets values of its own, so no task can change another's.
    """

    unit: Unit
    task: TaskSpec
    payload: bytes
    run: str
    item: int | None = None
    attempt: int = 1
    workflow: str = ""
    metadata: dict[str, Any] = {}
    """Task metadata as in `laneway.aio`: operation_name, correlation_id, priority_hint."""


class Outcome(msgspec.Struct, frozen=True):
    """What an attempt produced.

    `body` is JSON: the value (`value`), `{"set": {...}, "removed": [...]}` (`patch`), a failure record (`failure` and
    `stopped`, see `laneway._core.failures`), or what is waited for (`suspension`). Empty for `skipped`.
    """

    kind: OutcomeKind
    body: bytes = b""
    started: float = 0.0
    """Seconds since the epoch, when the task's code began."""
    duration: float = 0.0
    """Seconds the task's code took, without waiting and transport."""
    lane: str = ""
    """Where it really ran; differs from the wish after a fallback."""
    worker: str = ""
    stopped_by: str = ""
    """The rung of the stopping ladder that ended it: `ask`, `interrupt`, `kill`, `quarantine`; else empty."""
    output: str = ""
    """What the task printed, up to the lane's limit."""


class Capabilities(msgspec.Struct, frozen=True):
    """What a lane can do, as facts the planner may use."""

    parallel: bool
    isolated: bool
    stops: Stops
    remote: bool = False
    max_payload: int | None = None
    """Bytes, or None where only memory bounds it."""


class LaneHealth(msgspec.Struct, frozen=True):
    """A lane's state for people and metrics; plain data."""

    lane: str
    workers: list[dict[str, Any]]
    queued: int
    running: int
    quarantined: int
    restarts: int


class Lane(Protocol):
    """A place to run attempts. Never sees the store."""

    name: str
    capabilities: Capabilities

    async def open(self) -> None:
        """Get ready on the running event loop. Workers may start later, on their first order."""
        ...

    async def run(self, order: StepOrder) -> Outcome:
        """Run one attempt to its end and say what it produced.

        Never raises for anything the task did: a failure is an Outcome. The order's time limit
        (`order.task.timeout`) starts when the task's code starts and is enforced here, with the stopping ladder.
        When the awaiting asyncio task is cancelled, the attempt is stopped with the ladder, and CancelledError
        leaves only once the attempt is over or quarantined.
        """
        ...

    def refusal(self, unit: Unit, task: TaskSpec) -> str | None:
        """Why this lane can never run that task, or None. A pure look at facts known now; does no I/O."""
        ...

    def health(self) -> LaneHealth:
        """Workers, queue and quarantine right now."""
        ...

    async def retire(self, unit_key: str) -> None:
        """Let that unit's workers finish what they run, then close them."""
        ...

    async def close(self, *, grace: float) -> None:
        """Stop everything within `grace` seconds, then by force. Idempotent."""
        ...


class EngineCard(msgspec.Struct, frozen=True):
    """How an engine shows itself in a store: enough for others to tell whether it still lives."""

    id: str
    host: str
    """Machine, boot and process namespace; equal for engines that can see each other's process ids."""
    pid: int
    started: float
    """Start of the process as its system counts it, so that a reused pid is not taken for the same process."""


class Store(Protocol):
    """The durable record of runs. Adapters own their SQL; all pass the suite in `laneway.testing`."""

    async def open(self, engine: EngineCard) -> None:
        """Create or migrate the schema, register the engine, start the writer.

        Raises:
            StoreUnavailable: cannot be read or written, with the reason and what to do.
            StoreSchemaNewer: written by a newer Laneway; nothing was touched.
        """
        ...

    async def submit(self, submission: Submission) -> RunRecord:
        """Record a new run, leased to this engine. With a key that is known, return the existing run unchanged.

        Raises:
            KeyReused: the key belongs to a run of another workflow.
        """
        ...

    def commit(self, transition: Transition, answered: Callable[[BaseException | None], None]) -> None:
        """Make a transition durable: step rows, patch, events and run state in one transaction.

        `answered` is called on the event loop, with None once it is durable in the sense of the store's durability,
        else with what went wrong: StoreFenced (the engine lost its lease; nothing was written) or StoreUnavailable
        (nothing was written; safe to hand over again). Transitions of one run commit in the order they were handed
        over. It may be called before `commit` returns.
        """
        ...

    async def claim(
        self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1
    ) -> list[SavedRun]:
        """Lease unfinished runs that no living engine drives, and return what is needed to go on with them."""
        ...

    async def renew(self, *, lease: float) -> list[tuple[str, str]]:
        """Extend this engine's lease by `lease` seconds of the store's clock; returns (run, wish) pairs such as
        (id, "cancel") left by other programs since the last call.
        """
        ...

    async def ask(self, run: str, wish: str) -> None:
        """Leave a wish (`cancel`) for the engine that drives the run."""
        ...

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """Answer a named question (`runs`, `run`, `steps`, `events`, `counts`, `engines`) with plain records.

        Reads never block writers. Unknown names and arguments raise TypeError.
        """
        ...

    async def close(self) -> None:
        """Write what is waiting, give up the lease, release files and connections. Idempotent."""
        ...


class Clock(Protocol):
    """Time, so that tests can turn it."""

    def now(self) -> datetime:
        """Aware time in UTC."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep_until(self, moment: float) -> None:
        """Wait until the epoch second `moment`."""
        ...


class Sink(Protocol):
    """Somebody who wants every event after it was committed: logs, metrics, traces, live displays."""

    def seen(self, event: Event) -> None:
        """Called on the engine's loop in commit order; must be quick and must not raise."""
        ...


type EventStream = AsyncIterator[Event]
type OutcomeCallback = Callable[[Outcome], None]
