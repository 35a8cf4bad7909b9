"""The composition root: the only place that knows all adapters, and `Engine`, which programs open."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid7

from laneway import aio
from laneway._core.errors import PackageError, WorkflowInvalid
from laneway._core.events import EventRow
from laneway._core.lane_choice import LaneChoice
from laneway._core.model import TaskSpec
from laneway._core.records import Parent
from laneway.assembly import Assembly, collector, fleet_from, publisher, trust_from
from laneway.authoring import Workflow
from laneway.controls import Controls, encoded_context
from laneway.engine import arguments
from laneway.engine.artifacts import Artifacts
from laneway.engine.dispatch import Driver
from laneway.engine.handle import RunHandle
from laneway.engine.nested import WorkflowLane
from laneway.engine.pools import Pool
from laneway.engine.refusals import EngineClosed
from laneway.engine.results import RunResult
from laneway.engine.retention import Retention
from laneway.engine.runs import LEASE, Runs
from laneway.engine.surroundings import Surroundings
from laneway.engine.target import Runnable, Target
from laneway.engine.traffic import Traffic
from laneway.observation import Observation
from laneway.ports import EngineCard, Lane, Observer, Store, Unit
from laneway.registry import lane_factories, store_of
from laneway.settings import durability_from, moment_of, retention_from, settings_from
from laneway.stores._processes import here
from laneway.stores.artifacts import artifacts_of
from laneway.stores.neighbours import calls_of, clock_of, gone_beside

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from laneway._core.jobs import JobState
    from laneway.engine.schedule_ports import ScheduleBook
    from laneway.engine.scheduler import Scheduler
    from laneway.packages import Trust

__all__ = ["Engine"]

_DEFAULT_MAX_RUNS = 10_000


class Engine(Controls):
    """Runs workflows on one store.

    Args:
        store: `sqlite:///FILE` (three slashes: relative, four: absolute), `memory://` or `postgresql://...`; or a
            store object.
        durability: `commit` (default: survives the death of the process), `fsync` (survives power loss) or `exit`.
        workers: workers per package on isolated lanes; by default one per core.
        max_runs: how many runs may be live at once; `start` waits for room.
        grace: seconds that running steps may go on when the engine closes.
        interpreters: False runs the interpreter lane on worker processes.
        lease: seconds this engine may be silent before others take its runs over.
        workflows: workflows whose runs this engine takes up by itself, wherever they were started: those of engines
            that died, and suspended ones that are due or signalled.
        pools: what tasks may name by `@task(pool=...)`.
        limits: how many at once, such as `{"workflow:nightly": 1, "key:tenant": 4, "lane:process": 2}`;
            `package:NAME` and `task:ID` as well.
        retention: age at which finished runs are deleted, such as "30d", a timedelta or seconds; by default what
            LANEWAY_RETENTION says, else they are kept.
        fair_by: a context key; where runs and steps wait, those of its different values take turns.
        audit: folder of an audit log; by default what LANEWAY_AUDIT says.
        capture: keep what tasks of this process print with their attempts, as workers do.
        broker: where the celery lane sends its orders; by default what LANEWAY_CELERY_BROKER says.
        trust: whose packages this engine runs, as `laneway.packages.trusted(keys, allow_unsigned=False)` makes it; by
            default what LANEWAY_TRUSTED_KEYS and LANEWAY_SIGNED_ONLY say.

    Open it with `async with`; all its methods belong to that event loop.
    """

    def __init__(
        self,
        store: str | Store = "sqlite:///laneway.db",
        *,
        durability: str | None = None,
        workers: int | None = None,
        max_runs: int = _DEFAULT_MAX_RUNS,
        grace: float | None = None,
        interpreters: bool | None = None,
        lease: float = LEASE,
        workflows: Iterable[Workflow] = (),
        pools: Iterable[Pool] = (),
        limits: Mapping[str, int] | None = None,
        fair_by: str | None = None,
        retention: str | timedelta | float | None = None,
        audit: str | None = None,
        capture: bool = True,
        broker: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        workflows, pools = tuple(workflows), tuple(pools)
        arguments.check_engine(workflows, pools, workers=workers, max_runs=max_runs, grace=grace, lease=lease)
        settings = settings_from()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.durability = durability_from(
            "durability", settings.durability if durability is None else durability
        )
        self.store = store_of(store, self.durability)
        self._lease = lease
        self._workflows = workflows
        self._code: dict[str, Runnable] = {}
        self.grace = settings.grace if grace is None else grace
        self._max_runs = max_runs
        self._kept_for = settings.retention if retention is None else retention_from("retention", retention)
        self._retention: Retention | None = None
        self._context_bytes = settings.context_bytes
        self._trust = trust_from(trust)
        self.fleet = fleet_from(settings, workers=workers, interpreters=interpreters, broker=broker)
        self.artifacts = Artifacts(settings.artifact_bytes)
        self.fleet.workshop = self.artifacts.worker_setup
        self.fleet.publish = publisher(self.store)
        self.lanes: dict[str, Lane] = {}
        self._observation = Observation(settings, audit=audit, capture=capture)
        self._around: Surroundings | None = None
        self._runs: Runs | None = None
        self._factory: aio.TaskFactoryInstallation | None = None
        self._traffic = Traffic(pools=pools, limits=limits, fair_by=fair_by, workers=self.fleet.size)
        self.pools: Mapping[str, Pool] = self._traffic.pools
        self._assembly = Assembly({}, self._traffic)
        self._scheduler: Scheduler | None = None

    # ---- life

    async def __aenter__(self) -> Self:
        self._loop = arguments.opened_once(self._loop)
        card = here(str(uuid7()))
        self.lanes = {name: make(self.fleet) for name, make in lane_factories().items()}
        self.lanes[WorkflowLane.name] = WorkflowLane(self)
        self._assembly = Assembly(self.lanes, self._traffic)
        around = Surroundings(self.store, self.lanes, self.artifacts.open(artifacts_of(self.store)))
        self._code = {one.name: self._assembly.runnable(one) for one in self._workflows}
        runs = Runs(
            around, card, max_runs=self._max_runs, lease=self._lease, traffic=self._traffic, code=self._code
        )
        await runs.open()
        is_gone, calls = gone_beside(self.store, card), calls_of(self.store)
        self._traffic.open(self.store, card, is_gone, clock_of(self.store), calls)
        try:
            for lane in self.lanes.values():
                await lane.open()
        except BaseException:
            await self.store.close()
            raise
        self._factory = aio.install_task_factory(asyncio.get_running_loop())
        self._around, self._runs = around, runs
        runs.adoption.look()
        if self._kept_for is not None:
            self._retention = Retention(around, self._kept_for, collector(self.store))
            self._retention.start()
        try:
            await self._observation.open(around, runs, card, self._told(), self._traffic.pools)
        except BaseException:
            await self.close(grace=0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, *, grace: float | None = None) -> None:
        """Let running steps finish within the grace period, then stop them. Unfinished runs can be resumed."""
        if self._runs is None:
            return
        grace = self.grace if grace is None else grace
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            began = asyncio.get_running_loop().time()
            await scheduler.close(grace=grace)
            grace = max(0.0, grace - (asyncio.get_running_loop().time() - began))
        runs, self._runs = self._runs, None
        if runs is None:
            return
        try:
            if self._retention is not None:
                await self._retention.close()
            await runs.close(grace)
        finally:
            await self._observation.close()
            try:
                for lane in self.lanes.values():
                    await lane.close(grace=grace)
                await self._traffic.close()
            finally:
                await self.artifacts.close()
                await self.store.close()
                if self._factory is not None:
                    self._factory.remove()

    # ---- runs

    async def run(
        self,
        workflow: Workflow | Target | str,
        context: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        check: bool = True,
        durability: str | None = None,
        priority: int = 0,
        deadline: datetime | timedelta | float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Run a workflow to its end.

        Args:
            workflow: a Workflow, a Target, or what a command would be told, such as a package's folder.
            context: the initial context; JSON values only.
            key: idempotency key. A second call with it gives the first run's result, or goes on with that run.
            check: raise RunFailed for a run that failed or was cancelled; False returns its result.
            durability: for this run, instead of the engine's.
            priority: higher goes first wherever runs and steps wait.
            deadline: when the run is stopped and fails: a moment, or a time from now on in seconds.
            tags: texts to find the run by.

        Raises:
            WorkflowInvalid: all mistakes of the workflow, before anything runs.
            JsonInvalid: the context holds what JSON cannot.
            ContextTooLarge: it has more than LANEWAY_CONTEXT_LIMIT allows.
            RunFailed: see `check`.
        """
        handle = await self.start(
            workflow, context, key=key, durability=durability, priority=priority, deadline=deadline, tags=tags
        )
        return await handle.result(check=check)

    async def start(
        self,
        workflow: Workflow | Target | str,
        context: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        wait: bool = True,
        durability: str | None = None,
        priority: int = 0,
        deadline: datetime | timedelta | float | None = None,
        tags: Mapping[str, str] | None = None,
        parent: Parent | None = None,
    ) -> RunHandle:
        """Start a run and return its handle once the run is recorded.

        Raises:
            Backpressure: `wait` is False and there is no room: the engine holds `max_runs` runs, or a limit is reached.
        """
        runs, around = self._open()
        desk, limit = around.artifacts.desk, self._context_bytes if parent is None else None
        encoded = encoded_context(context, desk, limit=limit)
        arguments.check_start(key=key, priority=priority, tags=tags, deadline=deadline)
        chosen = self.durability if durability is None else durability_from("durability", durability)
        runnable = await self._runnable_of(workflow, encoded)
        about = self._observation.tags(runnable.plan.workflow.name)
        record, driver = await runs.start(
            runnable,
            encoded,
            key=key,
            wait=wait,
            deferred=chosen == "exit",
            tags={**(tags or {}), **about},
            priority=priority,
            deadline=moment_of(deadline, around.now()),
            parent=parent,
        )
        if not record.is_new:
            self._observation.not_begun(about)
        run = str(UUID(bytes=record.run)) if driver is None else driver.text_id
        return RunHandle(run, around, runs, driver, is_new=record.is_new)

    @property
    def metrics(self) -> CollectorRegistry:
        """This engine's Prometheus registry. Ask for it before the first run: it counts from then on."""
        return self._observation.metrics

    def observe(self, observer: Observer) -> None:
        """Have an observer told of runs, attempts and commits from now on, such as `laneway.observe.traces.Traces`."""
        self._observation.add(observer)

    def _told(self) -> dict[str, Any]:
        """The settings that the audit log keeps track of."""
        return {
            "durability": self.durability,
            "workers": self.fleet.size,
            "interpreters": self.fleet.no_interpreters or "on",
            "max_runs": self._max_runs,
            "grace": self.grace,
            "retention": self._kept_for,
        }

    def live(self, run: str) -> Driver | None:
        """What drives a run in this engine, for displays; None for a run that is over or driven elsewhere."""
        runs, _ = self._open()
        return runs.live.get(run)

    def listen(self, listener: Callable[[Sequence[EventRow]], None]) -> None:
        """Have a function called with events as they commit, on the engine's loop."""
        _, around = self._open()
        around.listeners.append(listener)

    # ---- recurring work

    @property
    def scheduler(self) -> Scheduler:
        """Jobs of this engine's store. Adding and looking work at once; `await engine.scheduler.start()` runs them."""
        # Time zones and cron cost imports that engines without schedules never need.
        from laneway.engine.scheduler import Scheduler  # noqa: PLC0415

        if self._scheduler is None:
            self._scheduler = Scheduler(self)
        return self._scheduler

    def scheduling(self) -> tuple[ScheduleBook, EngineCard]:
        """What a scheduler needs: the store's book of schedules, and a card of its own."""
        from laneway.stores.schedules import schedules_of  # noqa: PLC0415 - as above

        self._open()
        return self._observation.book(schedules_of(self.store)), here(str(uuid7()))

    async def schedule_package(self, path: str) -> list[JobState]:
        """Add the jobs and triggers that a package's `laneway.toml` declares (`[schedule.NAME]`, `[trigger.NAME]`).

        They are named `PACKAGE/NAME`.

        Raises:
            PackageError: the package cannot be loaded.
            JobInvalid: a schedule cannot be.
        """
        # As in `load`: programs without packages never need these imports.
        from laneway.packages.schedules import schedules_in, triggers_in  # noqa: PLC0415

        for name, target, how, options in triggers_in(path):
            await getattr(self.scheduler.triggers, how)(name, await self.load(target), **options)
        return [
            await self.scheduler.add(name, await self.load(target), **options)
            for name, target, options in schedules_in(path)
        ]

    # ---- workflows

    async def load(self, target: str) -> Target:
        """Find a workflow by what a command would be told: `module:workflow`, `file.py:workflow`, a package.

        Raises:
            TargetNotFound: it is not there, with what is.
            PackageError: the package cannot be loaded.
        """
        # Reading packages costs more imports than all of the engine; programs without packages never need them.
        from laneway.targets import find_target  # noqa: PLC0415

        self._open()
        try:
            found = await find_target(target, self.fleet, self._trust)
        except PackageError as error:
            self._observation.note("package_refused", package=target, reason=str(error), decision="refused")
            raise
        self._observation.loaded(found)
        return found

    def runnable(self, workflow: Workflow | Target) -> Runnable:
        """A workflow planned, with its code and lanes; remembered for as long as the engine lives.

        Raises:
            WorkflowInvalid: all mistakes at once, lanes that cannot run a task among them.
        """
        return self._assembly.runnable(workflow)

    def choice(self, spec: TaskSpec, unit: Unit) -> LaneChoice:
        """Which lane a task would take, and why."""
        return self._assembly.choice(spec, unit)

    async def _runnable_of(self, workflow: Workflow | Target | str, context: bytes | None = None) -> Runnable:
        found = arguments.check_workflow(await self.load(workflow) if isinstance(workflow, str) else workflow)
        try:
            return self.runnable(found)
        except WorkflowInvalid as error:
            raise arguments.every_mistake(error, found, context) from None

    def _known(self, workflow: str) -> Runnable | None:
        return self._code.get(workflow)

    def _open(self) -> tuple[Runs, Surroundings]:
        if self._runs is None or self._around is None:
            raise EngineClosed()
        arguments.at_home(self._loop)
        return self._runs, self._around
