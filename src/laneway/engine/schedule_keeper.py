"""Who schedules, and what is due: takes the lead of a store, records due moments as they come, sleeps in between."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from laneway import aio
from laneway._core.errors import StoreUnavailable
from laneway._core.jobs import Change, JobState, Lead, Move, NotLeading, start_of
from laneway._core.timetable import decide
from laneway.engine.schedule_alarm import first_of, watch_process
from laneway.engine.schedule_line import Line
from laneway.engine.schedule_ports import ScheduleBook
from laneway.engine.surroundings import log
from laneway.ports import Clock, EngineCard

__all__ = ["Keeper"]

_BATCH = 500
_PAUSE = 1.0


class Keeper:
    """Leads, or stands by to lead. A leader with nothing due sleeps until the next moment, without any heartbeat.

    Args:
        book: the store's schedules.
        card: this scheduler as others see it.
        clock: the wall clock that due moments are told by.
        line: where due jobs are run.
        lease: seconds after a due moment within which a leader must have shown itself.
        tolerance: how late a moment may be and still be on time.
        beside: what else whoever leads does; started with each term.
    """

    def __init__(
        self,
        book: ScheduleBook,
        card: EngineCard,
        clock: Clock,
        line: Line,
        *,
        lease: float,
        tolerance: timedelta,
        beside: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.term: int | None = None
        """The term in which this engine leads; None while another one does."""
        self.quiet = asyncio.Event()
        """Set while this engine leads and nothing is due or running."""
        self.asked = asyncio.Event()
        """Set once it is known whether this engine or another one leads."""
        self._book = book
        self._card = card
        self._clock = clock
        self._line = line
        self._lease = lease
        self._tolerance = tolerance
        self._beside = beside
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Look again: something was written, or the line has come to rest."""
        self.quiet.clear()
        self._changed.set()

    async def serve(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        while True:
            self._changed.clear()
            try:
                lead = await self._book.lead(self._card, seconds=self._lease)
                self.term = lead.term if lead.mine else None
                self.asked.set()
                if lead.mine:
                    await self._lead(lead.term)
                else:
                    await self._stand_by(lead)
            except NotLeading:
                log.warning("another engine schedules now")
            except StoreUnavailable as error:
                log.error("the scheduler waits for the store: %s", error)
                await asyncio.sleep(_PAUSE)
            except Exception:  # noqa: BLE001 - whatever it is, due moments still come
                log.exception("the scheduler starts anew")
                await asyncio.sleep(_PAUSE)

    async def _stand_by(self, lead: Lead) -> None:
        waits: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        if lead.left < 1e9:
            waits.append(partial(asyncio.sleep, max(lead.left, 0) + 0.05))
        if lead.host == self._card.host:
            waits.append(partial(watch_process, lead.pid))
        await first_of(self._changed, *waits)

    async def _lead(self, term: int) -> None:
        self.term = term
        line = aio.create_task(self._line.serve(term), name="job line")
        line.add_done_callback(lambda _: self._changed.set())
        beside = aio.create_task(self._beside(), name="triggers")
        try:
            while not line.done():
                self._changed.clear()
                following = await self.plan(term)
                if not await self._show(following):
                    return
                if not self._line.busy and not self._changed.is_set():
                    self.quiet.set()
                waits: list[Callable[[], Coroutine[Any, Any, Any]]] = []
                if following is not None:
                    waits.append(partial(self._clock.sleep_until, following))
                if self._line.busy:
                    waits.append(partial(asyncio.sleep, self._lease / 3))
                await first_of(self._changed, *waits)
            line.result()
        finally:
            self.term = None
            self.quiet.clear()
            line.cancel()
            beside.cancel()
            await asyncio.wait([line, beside])
            if not beside.cancelled() and (error := beside.exception()) is not None:
                log.error("triggers failed, and start anew with the next term", exc_info=error)

    async def _show(self, following: float | None) -> bool:
        """Extend the lead: while there is work by a lease, else until some time after the next due moment."""
        seconds: float | None = self._lease
        if not self._line.busy:
            left = None if following is None else max(0.0, following - self._clock.time())
            seconds = None if left is None else left + self._lease
        return (await self._book.lead(self._card, seconds=seconds)).mine

    async def plan(self, term: int) -> float | None:
        """Record everything that is due by now; returns the epoch second of the next start."""
        while True:
            now = self._clock.now()
            agenda = await self._book.agenda(now.timestamp(), limit=_BATCH)
            if not agenda.due:
                return None if agenda.next is None else agenda.next.timestamp()
            await self._book.write(self._change(agenda.due), term=term)
            self._line.look()
            await asyncio.sleep(0)

    def _change(self, due: list[JobState]) -> Change:
        """What becomes of jobs that are due. One whose times cannot be told is paused: it must not stop the others."""
        moves: list[Move] = []
        paused: list[tuple[JobState, bool]] = []
        for state in due:
            try:
                move = self._move(state)
            except Exception as error:  # noqa: BLE001 - whatever another machine or release put there
                log.error("job %s is paused, its times cannot be told here: %s", state.job.name, error)
                paused.append((state._replace(paused=True), True))
            else:
                moves += [] if move is None else [move]
        return Change(moves=moves, define=paused)

    def _move(self, state: JobState) -> Move | None:
        job, due = state.job, state.due
        if due is None:
            return None
        found = decide(
            job.timetable,
            job.name,
            due,
            self._clock.now(),
            misfire=job.misfire,
            limit=job.misfire_limit,
            jitter=job.jitter,
            tolerance=self._tolerance,
        )
        alone = not job.overlap and job.misfire != "all"
        return Move(job.name, due, found.next, start_of(job, found.next), found.run, found.missed, alone)
