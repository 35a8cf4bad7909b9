"""The line: what is owed, run one after another; what may run together, together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from laneway import aio
from laneway._core.errors import StoreFenced, StoreUnavailable
from laneway._core.jobs import Change, Firing, Job, NotLeading
from laneway.engine.handle import RunHandle, RunInterrupted
from laneway.engine.managed_group import ManagedTaskGroup
from laneway.engine.schedule_ports import ScheduleBook, Starter
from laneway.engine.surroundings import log
from laneway.ports import Clock

__all__ = ["Line"]

_BATCH = 256
_PAUSE = 1.0
"""Seconds before something that failed because of the store is tried again."""
_STOP_SECONDS = 10.0
"""How long the line waits for a run that is being cancelled because it took too long."""
_REASON = 500
_CLOSED = "LW-ENGINE-003"


class Line:
    """Runs open firings in the order they were recorded.

    Args:
        book: where firings are.
        starter: who starts runs.
        clock: what times are taken from.
        workflows: workflows of this program by job name; other jobs are found by their target.
        at_once: how many jobs run together at most.
        rested: called when nothing is left to do.
    """

    def __init__(
        self,
        book: ScheduleBook,
        starter: Starter,
        clock: Clock,
        workflows: Mapping[str, Any],
        *,
        at_once: int,
        rested: Callable[[], None],
    ) -> None:
        self.busy = False
        self.closing = False
        """True while nothing more may begin."""
        self.current: dict[str, str] = {}
        """Jobs that are running now, with their runs."""
        self._book = book
        self._starter = starter
        self._clock = clock
        self._workflows = workflows
        self._at_once = at_once
        self._rested = rested
        self._more = asyncio.Event()
        self._still = asyncio.Event()

    def look(self) -> None:
        """Have the line look for open firings."""
        self.busy = True
        self._more.set()

    async def finished(self, seconds: float) -> None:
        """Wait until nothing runs, but not longer than that."""
        try:
            async with asyncio.timeout(seconds):
                while self.current:
                    self._still.clear()
                    await self._still.wait()
        except TimeoutError:
            log.warning("jobs still run: %s; they go on with the next scheduler", ", ".join(self.current))

    async def serve(self, term: int) -> None:
        """Run what is owed until cancelled.

        Raises:
            NotLeading: the term is over.
        """
        self.look()
        async with ManagedTaskGroup("jobs beside the line", limit=self._at_once, raises=False) as beside:
            waiting: list[tuple[Firing, Job]] = []
            while True:
                try:
                    if self._more.is_set() or not waiting:
                        self._more.clear()
                        waiting = await self._waiting(beside)
                    if waiting and not self.closing:
                        waiting = await self._turn(term, waiting, beside)
                        continue
                except StoreUnavailable as error:
                    log.error("the scheduler waits for the store: %s", error)
                    await asyncio.sleep(_PAUSE)
                    waiting = []
                    continue
                if any(isinstance(error, NotLeading) for error in beside.errors.values()):
                    raise NotLeading(term=term)
                if not self._more.is_set():
                    self.busy = bool(beside.running)
                    self._rested()
                    await self._more.wait()

    async def _waiting(self, beside: ManagedTaskGroup) -> list[tuple[Firing, Job]]:
        aside = set(beside.running)
        found = await self._book.owed(limit=_BATCH + len(aside))
        return [(firing, job) for firing, job in found if firing.key not in aside]

    async def _turn(
        self, term: int, waiting: list[tuple[Firing, Job]], beside: ManagedTaskGroup
    ) -> list[tuple[Firing, Job]]:
        """Whose turn it is: one job, those that may run together with it, or all that run beside the line.

        Returns those whose turn is still to come.
        """
        firing, job = waiting[0]
        if job.overlap:
            for one, its in waiting:
                if its.overlap:
                    task = beside.start(self._run(term, one, its), name=one.key, metadata=_metadata(one))
                    task.add_done_callback(lambda _: self.look())
            await asyncio.sleep(0)
            return [pair for pair in waiting if not pair[1].overlap]
        if job.parallel_safe:
            together = [pair for pair in waiting if _may_join(pair, firing.due)]
            async with ManagedTaskGroup("jobs of one moment", limit=self._at_once, raises=False) as group:
                for one, its in together:
                    group.start(self._run(term, one, its), name=one.key, metadata=_metadata(one))
            for error in group.errors.values():
                raise error
            return [pair for pair in waiting if not _may_join(pair, firing.due)]
        await self._run(term, firing, job)
        return waiting[1:]

    # ---- one firing

    async def _run(self, term: int, firing: Firing, job: Job) -> None:
        """See one firing to its end. Whatever its run does, the line goes on."""
        if self.closing:
            return
        self.current[job.name] = firing.run or ""
        try:
            while True:
                handle, firing = await self._begun(term, firing, job)
                if handle is None:
                    return
                try:
                    firing = await self._ended(handle, firing, job)
                except RunInterrupted:
                    return  # the engine closes; the next one goes on with this firing
                except StoreFenced:
                    await asyncio.sleep(_PAUSE)  # another engine drives the run now: follow it
                    continue
                await self._settle(term, firing)
                return
        finally:
            self.current.pop(job.name, None)
            self._still.set()

    async def _begun(self, term: int, firing: Firing, job: Job) -> tuple[RunHandle | None, Firing]:
        workflow = self._workflows.get(job.name, job.target)
        try:
            handle = await self._trying(
                lambda: self._starter.start(
                    workflow, _parameters(job, firing), key=firing.key, priority=job.priority
                )
            )
        except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
            if getattr(error, "code", "") == _CLOSED:
                await asyncio.sleep(_PAUSE)
                return None, firing  # the engine closes; the next one goes on with this firing
            now = self._clock.now()
            reason = f"{type(error).__name__}: {error}"[:_REASON]
            log.error("job %s could not be started: %s", job.name, reason)
            refused = firing._replace(
                status="refused", started=firing.started or now, ended=now, reason=reason
            )
            await self._settle(term, refused)
            return None, refused
        self.current[job.name] = handle.id
        begun = firing._replace(status="running", run=handle.id, started=firing.started or self._clock.now())
        await self._settle(term, begun)
        return handle, begun

    async def _ended(self, handle: RunHandle, firing: Firing, job: Job) -> Firing:
        reason = ""
        limit = asyncio.timeout(self._left(firing, job))
        try:
            async with limit:
                result = await handle.result(check=False)
            status = result.status
            if result.error is not None:
                reason = f"{result.error.get('type') or result.error['kind']}: {result.error['message']}"
        except TimeoutError:
            if not limit.expired():
                raise
            status, reason = "timed_out", f"it took longer than {job.timeout_seconds:g} s"
            await self._stop(handle, job)
        return firing._replace(status=status, ended=self._clock.now(), reason=reason[:_REASON])

    def _left(self, firing: Firing, job: Job) -> float | None:
        """Seconds of the job's time limit that are left; after a restart the time before counts too."""
        if job.timeout_seconds is None or firing.started is None:
            return job.timeout_seconds
        spent = self._clock.now() - firing.started
        return max(0.0, job.timeout_seconds - max(spent, timedelta(0)).total_seconds())

    async def _stop(self, handle: RunHandle, job: Job) -> None:
        """Cancel a run, and do not wait for ever until it is."""
        stopping = aio.create_task(handle.cancel(), name=f"stop {job.name}")
        done, _ = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
        if not done:
            log.error("job %s cannot be stopped; the scheduler goes on without it", job.name)
        elif not stopping.cancelled() and (error := stopping.exception()) is not None:
            log.error("job %s could not be cancelled: %s", job.name, error)

    async def _settle(self, term: int, firing: Firing) -> None:
        await self._trying(lambda: self._book.write(Change(settle=[firing]), term=term))

    async def _trying[T](self, action: Callable[[], Awaitable[T]]) -> T:
        """The action's result, however long the store is away."""
        while True:
            try:
                return await action()
            except StoreUnavailable as error:
                log.error("the scheduler waits for the store: %s", error)
                await asyncio.sleep(_PAUSE)


def _may_join(pair: tuple[Firing, Job], due: datetime) -> bool:
    firing, job = pair
    return job.parallel_safe and not job.overlap and firing.due == due


def _metadata(firing: Firing) -> aio.TaskMetadata:
    return aio.TaskMetadata(operation_name=f"job {firing.name}", correlation_id=firing.key)


def _parameters(job: Job, firing: Firing) -> dict[str, Any]:
    """The job's parameters; a value `{due}` becomes the due moment."""
    due = firing.due.isoformat()
    return {key: due if value == "{due}" else value for key, value in job.parameters.items()}
