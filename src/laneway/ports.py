"""The protocols between the engine and what it drives: Lane, Store, Clock, Sink, and the records that cross them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from laneway._core.events import Event
from laneway._core.model import TaskSpec
from laneway._core.plan import Plan
from laneway._core.records import RunRecord, SavedRun, Submission, Transition, Wish

__all__ = [
    "Answer",
    "Capabilities",
    "Clock",
    "EngineCard",
    "Lane",
    "LaneHealth",
    "Outcome",
    "OutcomeKind",
    "Sink",
    "Standing",
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
    refusals: tuple[str, ...] = ()
    """What the package's policy refused during the attempt, also where the task went on without it."""


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


type Answer = Callable[[BaseException | None], None]
"""Told on the event loop how a transition went: None once it is durable, else why nothing was written."""

type Standing = Literal["driven", "free", "ended"]
"""How a run stands towards a wish: a living engine drives it, nobody does, or it is over."""


class Store(Protocol):
    """The durable record of runs. Adapters own their SQL; all pass the suite in `laneway.testing.stores`.

    A store object belongs to one engine at a time and is used from that engine's event loop. Several objects, in one
    or in many processes, may work on the same records.

    Leases are by the store's clock. An engine that is silent for longer than its lease may lose its runs to another
    one; from then on nothing it hands over is written (StoreFenced) until it opens the store under a new id.
    """

    url: str

    async def open(
        self, engine: EngineCard, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
    ) -> None:
        """Create or migrate the schema, register the engine with a lease of `lease` seconds, start the writer.

        Opening again with another card registers anew; what the former id drove is left to others. `nudged` is
        called on the event loop when another program left something to look at: a wish (`renew`) or a run (`claim`).

        Raises:
            StoreUnavailable: cannot be read or written, with the reason and what to do.
            StoreSchemaNewer: written by a newer Laneway; nothing was touched.
        """
        ...

    async def submit(self, submission: Submission) -> RunRecord:
        """Record a new run, leased to this engine. With a key that is known, return the existing run unchanged.

        Atomic: the run, its event and the steps a fork starts with are there together or not at all.

        Transitions of the new run may be handed over while this is still under way: they commit with it or after
        it, or fail as it does.

        Raises:
            KeyReused: the key belongs to a run of another workflow.
            StoreFenced: the engine lost its lease; nothing was written.
            StoreUnavailable: nothing was written; safe to try again.
        """
        ...

    def commit(self, transition: Transition, answered: Answer) -> None:
        """Make a transition durable: step rows, patch, events and run state in one transaction.

        `answered` is called once, on the event loop, perhaps before `commit` returns: with None once the transition
        is durable in the sense of the store's durability, else with why nothing of it was written:

        * StoreFenced: the engine lost its lease, or another engine drives the run.
        * StepEnded: a step in it ended in an earlier transition. A committed step never ends twice.
        * RecordRefused: the store cannot hold it (too large, not valid text). Other transitions are not touched.
        * StoreUnavailable: the store was closed before it could be written.

        Transitions of one run commit in the order they were handed over. While the store cannot be written (full
        disk, lock, lost connection) the adapter keeps them, says so in the log once, and tries again by itself.
        """
        ...

    async def claim(
        self, *, run: str | None = None, workflows: Sequence[str] = (), limit: int = 1, reopen: bool = False
    ) -> list[SavedRun]:
        """Lease runs that no living engine drives, and return what is needed to go on with them.

        By id: that run if it is unfinished (also paused or suspended, also this engine's own), or finished and
        `reopen` is True. By
        workflows: running ones, and suspended ones that are due, highest priority first, then oldest. Two engines
        never hold one run. Engines found dead (their lease ended, or their process is seen to be gone) are forgotten
        and their runs freed.

        Raises:
            StoreFenced, StoreUnavailable: nothing was claimed; safe to try again.
        """
        ...

    async def renew(self, *, lease: float) -> list[Wish]:
        """Extend this engine's lease to `lease` seconds from now; return the wishes for its runs since the last call.

        Raises:
            StoreFenced: the lease was lost and its runs belong to others now.
            StoreUnavailable: the lease was not extended; safe to try again.
        """
        ...

    async def ask(self, run: str, wish: str, *, name: str = "", value: bytes | None = None) -> Standing:
        """Leave a wish (`cancel`, `pause`, `signal`) for whoever drives the run; says whether somebody does.

        A signal is kept with the run under its name, the latest value counting, and makes a suspended run due. On a
        run that is over nothing is left.

        Raises:
            RunNotFound: there is no such run.
        """
        ...

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """Answer a named question with plain records; see `laneway.stores.questions` for names and arguments.

        Reads never block writers, and one answer shows one moment. Unknown names and arguments raise TypeError.

        Raises:
            RunNotFound: the question names a run that is not there.
        """
        ...

    async def keep(
        self, kind: str, name: str, body: bytes | None, *, version: int | None = None
    ) -> int | None:
        """Write a document, or remove it (`body` None), if it still has that version (None: whatever it has; 0: new).

        Returns the new version (0 after removal), or None if somebody changed it first: nothing was written then.
        For state that is not a run's: schedules, shared pools, packages. Read it with the question `documents`.
        """
        ...

    async def sweep(self, *, before: float, limit: int = 1000) -> dict[str, int]:
        """Delete at most `limit` runs that ended before that epoch second, with all that belongs to them.

        Returns how many `runs`, `steps` and `events` went. A parent goes with or after its children's use of it:
        runs whose parent is unfinished stay. Safe beside other engines.
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


class LiveRun(Protocol):
    """A run that this engine drives, as observers see it."""

    @property
    def run(self) -> bytes: ...
    @property
    def text_id(self) -> str: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def running(self) -> Mapping[tuple[str, int], float]: ...
    @property
    def status(self) -> str | None: ...


class Observer:
    """Somebody who sees what an engine does: logs, metrics, traces, audit. Override what is of interest.

    All methods are called on the engine's loop, must be quick and must not raise.
    """

    ordinary_attempts: ClassVar[bool] = True
    """Whether `attempt_ended` also tells of attempts that did not fail, print or meet a refusal."""

    def new_run(self, workflow: str) -> Mapping[str, str]:
        """A run is asked for. What is returned is recorded with it, as tags."""
        return {}

    def not_begun(self, tags: Mapping[str, str]) -> None:
        """The run that was asked for with those tags was refused, or was there already."""

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """A run is driven from now on: a new one, or one that was taken up again."""

    def attempt_started(self, run: LiveRun, order: StepOrder) -> StepOrder:
        """An attempt goes to its lane. What is returned goes there; only metadata may be added."""
        return order

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """An attempt came back. What is returned is recorded; only output may be added."""
        return outcome

    def attempt_dropped(self, run: LiveRun, order: StepOrder) -> None:
        """An attempt was stopped because its run was cancelled, lost or shut down."""

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """A change is durable, `seconds` after it was handed to the store."""

    def committed_aside(self, transition: Transition) -> None:
        """A change of a run that this engine does not drive is durable: it was paused, or is about to be retried."""

    def run_left(self, run: LiveRun) -> None:
        """The engine has nothing more to do with a run; `run.status` says why, `interrupted` and `abandoned` too."""

    def crowded(self, *, refused: bool) -> None:
        """There was no room for a run: its caller waits, or was refused."""


type EventStream = AsyncIterator[Event]
type OutcomeCallback = Callable[[Outcome], None]
