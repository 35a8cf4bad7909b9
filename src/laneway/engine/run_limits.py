"""How many runs of a workflow, or of one value of a context key, go on at once; nested and resumed ones too."""

from collections import Counter
from collections.abc import Iterator, Mapping

from laneway._core.errors import Backpressure
from laneway.engine.gates import Gate
from laneway.engine.limits import Limit, value_of
from laneway.engine.surroundings import log

__all__ = ["Entry", "RunLimits"]


class Place:
    """What one limit bounds: a workflow, or one value of a key."""

    __slots__ = ("gate", "holders", "name")

    def __init__(self, name: tuple[str, str], most: int) -> None:
        self.name = name
        self.gate = Gate(most)
        self.holders: set[Entry] = set()


class Entry:
    """One run, as far as limits are concerned."""

    __slots__ = ("above", "counted", "is_driven", "is_needed", "places", "run", "ticket", "waits_for")

    def __init__(self, run: str, above: str | None, *, is_needed: bool) -> None:
        self.run = run
        self.above = above
        """The run whose step this one is."""
        self.is_needed = is_needed
        """Nested, or taken up again: something may be held up until it goes on."""
        self.is_driven = False
        """Whether a driver has its places: it leaves when that closes."""
        self.places: list[Place] = []
        self.waits_for: Place | None = None
        self.ticket = 0
        self.counted: tuple[str, ...] = ()
        """While it waits: itself and the runs above it."""


class RunLimits:
    """Lets runs in, so many at once of each limited workflow and of each value of a limited context key.

    A nested run counts like any other, but where a run above it is inside already it goes in with that one: it is part
    of its work. Where runs wait for each other in a circle, such as two that each need the other's workflow nested,
    one of them goes on over the limit: limits delay, they never lock.
    """

    def __init__(self, limits: list[Limit]) -> None:
        self._limits = sorted(limits, key=lambda one: one.kind != "key")
        self._places: dict[tuple[str, str], Place] = {}
        self._entries: dict[str, Entry] = {}
        self._door = Place(("room", ""), 1)
        """The engine's room for runs."""
        self._waiting: dict[Entry, None] = {}
        self._below: Counter[str] = Counter()
        """Per run how many of those who wait are itself or below it."""
        self._orphans: set[str] = set()
        """Runs above those who wait that are not known here."""

    # ---- coming and going

    def enter_now(
        self, run: str, above: str | None, workflow: str, context: Mapping[str, bytes]
    ) -> Entry | None:
        """Let a recorded run in if that needs no waiting; None if it does."""
        entry = Entry(run, above, is_needed=True)
        wanted = [one for one in self._wanted(workflow, context) if not self._is_shared(entry, one)]
        if any(one.gate.locked() for one in wanted):
            for place in wanted:
                self._forget(place)
            return None
        self._registered(entry)
        for place in wanted:
            place.gate.inside += 1
            self._is_in(entry, place)
        return entry

    async def enter(
        self,
        run: str,
        above: str | None,
        workflow: str,
        context: Mapping[str, bytes],
        *,
        wait: bool = True,
        priority: int = 0,
        is_needed: bool = False,
    ) -> Entry:
        """Wait until the run may begin. `leave` must follow.

        Raises:
            Backpressure: it may not yet, and `wait` is False.
        """
        entry = Entry(run, above, is_needed=is_needed)
        self._registered(entry)
        try:
            for place in self._wanted(workflow, context):
                if self._is_shared(entry, place):
                    continue
                gate = place.gate
                if not gate.locked():
                    gate.inside += 1
                elif not wait:
                    raise Backpressure(waiting=gate.inside, limit=gate.size)
                else:
                    try:
                        await self._wait(entry, place, priority)
                    finally:
                        self._forget(place)
                self._is_in(entry, place)
                self._mend(entry)
        except BaseException:
            self.leave(entry)
            raise
        return entry

    def is_crowded(self, workflow: str, context: Mapping[str, bytes]) -> bool:
        """Whether a run like that would have to wait."""
        places = list(self._wanted(workflow, context))
        try:
            return any(one.gate.locked() for one in places)
        finally:
            for place in places:
                self._forget(place)

    def leave(self, entry: Entry) -> None:
        """The run is over, or rests, or never began. Idempotent."""
        if self._entries.get(entry.run) is entry:
            del self._entries[entry.run]
        nobody_follows = any(one.waits_for is self._door for one in self._waiting)
        while entry.places:
            place = entry.places.pop()
            nobody_follows |= place.gate.inside > place.gate.size and place.gate.waiting > 0
            place.holders.discard(entry)
            place.gate.release()
            self._forget(place)
        if (
            nobody_follows
        ):  # over the limit, or over the room: others waited for this one, and none came in for it
            self._open_circles()

    def is_run(self, entry: Entry, run: str) -> None:
        """The run that was asked for was there already, under that id."""
        if run != entry.run and self._entries.get(entry.run) is entry:
            del self._entries[entry.run]
            entry.run = run
            self._registered(entry)

    async def take_room(self, entry: Entry, room: Gate, *, priority: int, key: str) -> None:
        """Wait until the engine has room for a run that was let in."""
        if room.locked():
            self._door.gate = room
            await self._wait(entry, self._door, priority, key)
        else:
            room.inside += 1

    # ---- places

    def _wanted(self, workflow: str, context: Mapping[str, bytes]) -> Iterator[Place]:
        for limit in self._limits:
            value = workflow if limit.kind == "workflow" else value_of(context, limit.name)
            if value is None or (limit.kind == "workflow" and value != limit.name):
                continue
            name = (f"{limit.kind}:{limit.name}", value)
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = Place(name, limit.most)
            yield place

    def _is_in(self, entry: Entry, place: Place) -> None:
        place.holders.add(entry)
        entry.places.append(place)

    def _forget(self, place: Place) -> None:
        if not place.gate.inside and not place.gate.waiting:
            self._places.pop(place.name, None)

    def _is_shared(self, entry: Entry, place: Place) -> bool:
        return any(place in one.places for one in self._line_above(entry))

    def _line_above(self, entry: Entry) -> Iterator[Entry]:
        above = entry.above
        while above is not None and (one := self._entries.get(above)) is not None:
            yield one
            above = one.above

    # ---- waiting without locking up

    async def _wait(self, entry: Entry, place: Place, priority: int, key: str = "") -> None:
        def ticketed(ticket: int) -> None:
            entry.ticket = ticket
            entry.waits_for = place
            self._waiting[entry] = None
            self._count(entry)
            self._mend(entry)

        try:
            await place.gate.acquire(priority=priority, key=key, ticketed=ticketed)
        finally:
            self._waits_no_more(entry)

    def _count(self, entry: Entry) -> None:
        """Note above whom it waits."""
        line = list(self._line_above(entry))
        entry.counted = (entry.run, *(one.run for one in line))
        self._below.update(entry.counted)
        last = line[-1].above if line else entry.above
        if last is not None:
            self._orphans.add(last)

    def _waits_no_more(self, entry: Entry) -> None:
        self._waiting.pop(entry, None)
        self._below.subtract(entry.counted)
        for run in entry.counted:
            if not self._below[run]:
                del self._below[run]
        entry.waits_for, entry.counted = None, ()
        if not self._waiting:
            self._orphans.clear()

    def _registered(self, entry: Entry) -> None:
        self._entries[entry.run] = entry
        if entry.run in self._orphans:  # runs below it wait already: it was taken up after them
            self._below.clear()
            self._orphans.clear()
            for one in self._waiting:
                self._count(one)

    def _mend(self, entry: Entry) -> None:
        """Something changed for this run: if that closed a circle of runs that wait for each other, open it."""
        place = entry.waits_for
        if place is None and entry.run not in self._below:
            return
        if place is not None and any(one.run not in self._below for one in self._holders(place)):
            return  # it waits for somebody who waits for nobody
        self._open_circles()

    def _open_circles(self) -> None:
        while (stuck := self._stuck()) is not None and stuck.waits_for is not None:
            place = stuck.waits_for
            log.warning(
                "run %s goes on over the limit %s: through others it would wait for itself",
                stuck.run,
                place.name[0],
            )
            self._waits_no_more(stuck)
            place.gate.insist(stuck.ticket)

    def _holders(self, place: Place) -> Iterator[Entry]:
        """Who is inside, also those who were let in and do not know it yet."""
        if place is self._door:
            yield from self._entries.values()
            return
        yield from place.holders
        yield from (one for one in self._waiting if one.waits_for is place and _is_let_in(one))

    def _stuck(self) -> Entry | None:
        """One of a circle of runs that wait for each other, such that it may go on over its limit."""
        stuck = [one for one in self._waiting if not _is_let_in(one)]
        is_less = True
        while is_less:
            held_up = {its for one in stuck for its in (one, *self._line_above(one))}
            still = [one for one in stuck if all(its in held_up for its in self._holders(_place_of(one)))]
            is_less, stuck = len(still) < len(stuck), still
        candidates = (one for one in stuck if one.is_needed and one.waits_for is not self._door)
        return next((one for one in candidates if self._waits_for_itself(one, stuck)), None)

    def _waits_for_itself(self, entry: Entry, stuck: list[Entry]) -> bool:
        """Whether it is part of a circle, rather than behind one."""
        seen: set[Entry] = set()
        ahead = [entry]
        while ahead:
            holders = set(self._holders(_place_of(ahead.pop())))
            found = {one for one in stuck if one in holders or not holders.isdisjoint(self._line_above(one))}
            if entry in found:
                return True
            ahead += found - seen
            seen |= found
        return False


def _place_of(entry: Entry) -> Place:
    if entry.waits_for is None:
        raise ValueError(f"run {entry.run} waits for nothing")
    return entry.waits_for


def _is_let_in(entry: Entry) -> bool:
    return not _place_of(entry).gate.is_waiting(entry.ticket)
