"""`Scheduler`: recurring work of one store. Adding, pausing, running and looking at jobs; life and shutdown."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Protocol, Self

from msgspec import structs

from laneway import aio
from laneway._core.events import EventRow
from laneway._core.jobs import Change, Firing, Job, JobState, job_problems, start_of
from laneway._core.jsonvalue import check
from laneway._core.timetable import Misfire, due_between, next_after
from laneway.authoring import Workflow
from laneway.engine.schedule_alarm import SystemClock
from laneway.engine.schedule_keeper import Keeper
from laneway.engine.schedule_line import Line
from laneway.engine.schedule_ports import JobInvalid, JobNotFound, ScheduleBook, Starter
from laneway.engine.target import Target
from laneway.engine.triggers import Triggers, reference_of
from laneway.ports import Clock, EngineCard, Store

__all__ = ["Host", "Scheduler"]

_LEASE = 15.0
_MOST_BACKFILL = 10_000


class Host(Starter, Protocol):
    """An engine as the scheduler needs it."""

    store: Store

    def listen(self, listener: Callable[[Sequence[EventRow]], None]) -> None:
        """Have a function called with events as they commit."""
        ...

    def scheduling(self) -> tuple[ScheduleBook, EngineCard]:
        """The store's book of schedules, and a card for a scheduler of this process."""
        ...


class Scheduler:
    """Runs jobs (a workflow with parameters) when they are due, one after another.

    Jobs and where they stand are kept in the engine's store. Of all engines with a scheduler on one store exactly one
    schedules; when it ends, another takes over. Adding, pausing and looking needs no running scheduler.

    Args:
        engine: an open engine.
        at_once: how many jobs run together at most, of those that may (`parallel_safe`, `overlap`).
        lease: seconds that a leader may be silent when something is due before another takes over.
        tolerance: how late a due moment may be started and still count as on time.
        clock: what due moments are told by; for tests.

    Use it with `async with Scheduler(engine) as scheduler:`, or `engine.scheduler` and `start()`.
    """

    def __init__(
        self,
        engine: Host,
        *,
        at_once: int = 8,
        lease: float = _LEASE,
        tolerance: timedelta = timedelta(minutes=1),
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._clock: Clock = SystemClock() if clock is None else clock
        self._book, self._card = engine.scheduling()
        self._workflows: dict[str, Workflow | Target] = {}
        self._line = Line(
            self._book, engine, self._clock, self._workflows, at_once=at_once, rested=self._look_again
        )
        self.triggers = Triggers(engine.store, engine, self._workflows, lambda: self._write(Change()))
        """What starts workflows other than time."""
        self._keeper = Keeper(
            self._book,
            self._card,
            self._clock,
            self._line,
            lease=lease,
            tolerance=tolerance,
            beside=self.triggers.serve,
        )
        self._serving: asyncio.Task[None] | None = None
        self._listens = False

    # ---- life

    async def start(self) -> None:
        """Begin to schedule, or to stand by while another engine does. Idempotent."""
        if self._serving is None:
            self._book.listen(self._card.id, self._told)
            if not self._listens:
                self._engine.listen(self.triggers.heard)
                self._listens = True
            self._serving = aio.create_task(self._keeper.serve(), name="scheduler")

    async def close(self, *, grace: float = 5.0) -> None:
        """Start nothing more, let running jobs go on for up to `grace` seconds, then leave.

        What did not end stays recorded as running or owed: the next scheduler of the store goes on with it.
        """
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._line.closing = True
        if self._line.current and grace > 0:
            await self._line.finished(grace)
        serving.cancel()
        await asyncio.wait([serving])
        self._line.closing = False
        self._book.listen(self._card.id, None)
        await self._book.leave(self._card)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def leads(self) -> bool:
        """Whether this engine is the one that schedules."""
        return self._keeper.term is not None

    async def decided(self) -> bool:
        """Wait until it is known which engine schedules; whether it is this one."""
        await self._keeper.asked.wait()
        return self.leads

    @property
    def running(self) -> dict[str, str]:
        """Jobs that this engine runs right now, with the ids of their runs."""
        return {job: run for job, run in self._line.current.items() if run}

    async def settled(self) -> None:
        """Wait until this engine leads and everything that is due has been run."""
        while True:
            await self._keeper.quiet.wait()
            agenda = await self._book.agenda(self._clock.time(), limit=1)
            if not agenda.due and not await self._book.owed(limit=1) and self._keeper.quiet.is_set():
                return
            self._look_again()
            await asyncio.sleep(0)

    # ---- jobs

    async def add(
        self,
        name: str,
        workflow: Workflow | Target | str,
        parameters: Mapping[str, Any] | None = None,
        *,
        cron: str | None = None,
        every: timedelta | float | None = None,
        at: datetime | None = None,
        timezone: str = "UTC",
        misfire: Misfire = "once",
        misfire_limit: int = 100,
        jitter: timedelta | float = 0.0,
        overlap: bool = False,
        parallel_safe: bool = False,
        timeout: timedelta | float | None = 3600.0,
        priority: int = 0,
        paused: bool = False,
        origin: str = "code",
    ) -> JobState:
        """Add a job, or bring the one of that name up to date. Where it stands is kept while its times stay the same.

        Args:
            name: what the job is called; one job per name and store.
            workflow: a Workflow of this program, or what a command would be told, such as `module:workflow`.
            parameters: the runs' initial context; a value `"{due}"` becomes the due moment.
            cron: five fields, in `timezone`.
            every: the time between two starts; the first is one step from now.
            at: one moment.
            timezone: where `cron` counts.
            misfire: for due moments that nobody was there for: `skip`, `once` for all of them, or `all`.
            misfire_limit: how many of them `all` makes up for, the latest ones.
            jitter: starts are delayed by up to this, each moment by its own, always the same delay.
            overlap: start a due moment although the last run goes on; the line does not wait for such a job.
            parallel_safe: may run together with others due at the same moment.
            timeout: how long a run may take before it is cancelled; None: for ever, holding up the line.
            priority: of its runs; higher goes first wherever runs and steps wait.
            paused: add it paused.
            origin: who added it, for people.

        Raises:
            JobInvalid: with every mistake.
        """
        now = self._clock.now()
        job = Job(
            name,
            reference_of(workflow),
            dict(parameters or {}),
            cron,
            _seconds(every),
            at if at is None or at.tzinfo is None else at.astimezone(UTC),
            timezone,
            now if every is not None else datetime(1970, 1, 1, tzinfo=UTC),
            misfire,
            misfire_limit,
            _seconds(jitter) or 0.0,
            overlap,
            parallel_safe,
            _seconds(timeout),
            priority,
            origin=origin,
        )
        problems = job_problems(job)
        if problems:
            raise JobInvalid(name=name, problems=problems)
        check(job.parameters, "parameters")
        if not isinstance(workflow, str):
            self._workflows[name] = workflow
        known = await self._book.jobs(name)
        if known and known[0].job.same_times(job):
            kept = structs.replace(job, anchor=known[0].job.anchor)
            state = known[0]._replace(job=kept)
            if kept != known[0].job:
                await self._write(Change(define=[(state, False)]))
            return state
        due = job.at if job.at is not None else next_after(job.timetable, now)
        state = JobState(job, paused, due, start_of(job, due))
        await self._write(Change(define=[(state, True)]))
        return state

    async def debounce(
        self,
        workflow: Workflow | Target | str,
        parameters: Mapping[str, Any] | None = None,
        *,
        key: str,
        quiet: timedelta | float,
        at_most: timedelta | float | None = None,
    ) -> JobState:
        """Start a workflow once `quiet` has passed without another call with this key; the last parameters count.

        Durable: what was asked for starts even if this program ends first. `at_most` bounds the whole delay.
        """
        reference = reference_of(workflow)
        name = f"debounce {key}"
        now = self._clock.now()
        first = now
        known = await self._book.jobs(name)
        if known and known[0].due is not None:
            first = known[0].job.anchor
        due = now + timedelta(seconds=_seconds(quiet) or 0.0)
        longest = _seconds(at_most)
        if longest is not None:
            due = min(due, first + timedelta(seconds=longest))
        job = Job(
            name,
            reference,
            dict(parameters or {}),
            at=due,
            anchor=first,
            overlap=True,
            passing=True,
            origin="debounce",
        )
        problems = job_problems(job)
        if problems:
            raise JobInvalid(name=name, problems=problems)
        check(job.parameters, "parameters")
        if not isinstance(workflow, str):
            self._workflows[name] = workflow
        state = JobState(job, False, due, due)
        await self._write(Change(define=[(state, True)]))
        return state

    # ---- looking and changing

    async def jobs(self) -> list[JobState]:
        """All jobs by name."""
        return await self._book.jobs()

    async def job(self, name: str) -> JobState:
        """One job and where it stands.

        Raises:
            JobNotFound: there is none of that name.
        """
        found = await self._book.jobs(name)
        if not found:
            names = [one.job.name for one in await self._book.jobs()]
            near = get_close_matches(name, names, 1)
            raise JobNotFound(name=name, near=f"Did you mean {near[0]!r}? " if near else "")
        return found[0]

    async def next(self, name: str, count: int = 5) -> list[datetime]:
        """The next due moments of a job, without jitter; none while it is paused."""
        state = await self.job(name)
        moments: list[datetime] = []
        due = None if state.paused else state.due
        while due is not None and len(moments) < count:
            moments.append(due)
            due = next_after(state.job.timetable, due)
        return moments

    async def history(self, name: str | None = None, *, limit: int = 20) -> list[Firing]:
        """The latest due moments that were dealt with, newest first."""
        return await self._book.history(name, limit=limit)

    async def pause(self, name: str) -> JobState:
        """Start nothing of this job until it is resumed. A run that goes on is left alone."""
        state = (await self.job(name))._replace(paused=True)
        await self._write(Change(define=[(state, True)]))
        return state

    async def resume(self, name: str) -> JobState:
        """Go on from now: moments that passed during the pause are not made up for."""
        state = await self.job(name)
        if not state.paused:
            return state
        job = state.job
        due = next_after(job.timetable, self._clock.now())
        if job.at is not None and state.due is not None:
            due = job.at
        state = state._replace(paused=False, due=due, start=start_of(job, due))
        await self._write(Change(define=[(state, True)]))
        return state

    async def run_now(self, name: str) -> Firing:
        """Put the job into the line now, whatever its times and even if it is paused."""
        state = await self.job(name)
        firing = Firing(state.job.name, self._clock.now(), why="now")
        await self._write(Change(owe=[firing]))
        return firing

    async def backfill(self, name: str, start: datetime, end: datetime) -> list[Firing]:
        """Put the due moments of [start, end] into the line, oldest first, each unless it is on record already.

        Raises:
            JobInvalid: there are more than 10,000, or the job has no recurring times.
        """
        job = (await self.job(name)).job
        if start.tzinfo is None or end.tzinfo is None:
            raise JobInvalid(name=name, problems=["a range needs times with a time zone"])
        if end < start:
            raise JobInvalid(name=name, problems=["the range ends before it begins"])
        firings: list[Firing] = []
        timetable = job.timetable._replace(anchor=job.anchor)
        for due in due_between(timetable, start - timedelta(microseconds=1), end):
            firings.append(Firing(job.name, due, why="backfill"))
            if len(firings) > _MOST_BACKFILL:
                raise JobInvalid(
                    name=name, problems=[f"the range has more than {_MOST_BACKFILL:,} due moments"]
                )
        await self._write(Change(owe=firings))
        return firings

    async def remove(self, name: str) -> None:
        """Forget a job and its history. A run that goes on is left alone."""
        await self.job(name)
        self._workflows.pop(name, None)
        await self._write(Change(forget=[name]))

    async def _write(self, change: Change) -> None:
        await self._book.write(change)
        self._told()

    def _told(self) -> None:
        """Something was written, here or by another engine."""
        self._line.look()
        self.triggers.look()
        self._look_again()

    def _look_again(self) -> None:
        self._keeper.changed()


def _seconds(value: timedelta | float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value)
