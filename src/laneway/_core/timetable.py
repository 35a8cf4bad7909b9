"""When a job is due: cron in a time zone, intervals, one moment; daylight saving, jitter and missed moments. Pure.

Daylight saving, for cron:

* A local time that is skipped runs once, at the first moment after the gap; all times of one gap run together.
* A local time that comes twice runs once, at the first.
* A job whose hour field is `*` runs by elapsed time instead: it goes on through both passes of a doubled hour and
  makes nothing up for a skipped one, so `*/5 * * * *` is five minutes apart all year.
"""

from collections import deque
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

__all__ = [
    "Decision",
    "Misfire",
    "Timetable",
    "decide",
    "due_between",
    "jitter_of",
    "last_between",
    "next_after",
    "problem_with",
]

type Misfire = Literal["skip", "once", "all"]

_FIELDS = 5
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_COUNTED = 10_000
_FAR = timedelta(days=366 * 41)
"""How far ahead a moment is looked for: 29 February on one weekday may take 40 years to come again."""


class Timetable(NamedTuple):
    """One of `cron`, `every` and `at`. Moments are aware.

    Those of an interval are `anchor + n * every`, for n from 1 on.
    """

    cron: str | None = None
    every: timedelta | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    anchor: datetime = datetime(1970, 1, 1, tzinfo=UTC)


class Decision(NamedTuple):
    """What to do at one look: start these moments, oldest first; so many were missed; the next one."""

    run: list[datetime]
    missed: int
    next: datetime | None


def problem_with(table: Timetable) -> str | None:
    """What is wrong with a timetable, or None."""
    if sum(one is not None for one in (table.cron, table.every, table.at)) != 1:
        return "a timetable has exactly one of cron, every and at"
    if table.every is not None and table.every < timedelta(milliseconds=1):
        return f"every={table.every} is too short: one millisecond is the least"
    if table.at is not None and table.at.tzinfo is None:
        return f"at={table.at.isoformat()} has no time zone"
    try:
        ZoneInfo(table.timezone)
    except KeyError, ValueError, OSError:
        return f"there is no time zone {table.timezone!r}; {_zone_advice(table.timezone)}"
    if table.cron is None:
        return None
    try:
        _template(table.cron)
    except CronSimError as error:
        reason = str(error).lower()
        return f"{table.cron!r} is not a cron expression ({reason}); write five fields such as '*/15 8-18 * * mon-fri'"
    if next_after(table, datetime(2024, 1, 1, tzinfo=UTC)) is None:
        return f"{table.cron!r} never comes"
    return None


def _zone_advice(name: str) -> str:
    near = get_close_matches(name, sorted(available_timezones()), 1)
    return f"did you mean {near[0]!r}?" if near else "write it like 'Europe/Zurich' or 'UTC'"


def next_after(table: Timetable, after: datetime) -> datetime | None:
    """The first due moment later than `after`, in UTC; None if there is none."""
    return next(_moments(table, after), None)


def due_between(table: Timetable, after: datetime, until: datetime) -> Iterator[datetime]:
    """All due moments later than `after` and not later than `until`, in order, in UTC."""
    for moment in _moments(table, after):
        if moment > until:
            return
        yield moment


def last_between(table: Timetable, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The latest due moments of `due_between`, at most `most`, without walking through all of a long time."""
    if table.every is not None:
        count = min(most, max(0, (until - table.anchor) // table.every))
        first = table.anchor + table.every * ((until - table.anchor) // table.every - count)
        return list(due_between(table, max(after, first), until))
    window = timedelta(hours=1)
    while True:
        start = max(after, until - window)
        found = deque(due_between(table, start, until), maxlen=most)
        if len(found) == most or start == after:
            return list(found)
        window *= 4


def jitter_of(name: str, moment: datetime, most: timedelta) -> timedelta:
    """How much later than due a job starts: spread evenly over [0, most), always the same for one name and moment."""
    if most <= timedelta(0):
        return timedelta(0)
    digest = sha256(f"{name}@{moment.timestamp():.6f}".encode()).digest()
    return most * (int.from_bytes(digest[:6]) / 2**48)


def decide(
    table: Timetable,
    name: str,
    due: datetime,
    now: datetime,
    *,
    misfire: Misfire,
    limit: int,
    jitter: timedelta = timedelta(0),
    tolerance: timedelta = timedelta(minutes=1),
) -> Decision:
    """Decide what of the moments from `due` on, whose start has come, is run now.

    A moment is missed when a later one has come as well, or when it is later than `tolerance`. `once` runs the latest
    moment however late it is, `skip` only if it is on time, `all` the latest `limit` moments.
    """
    most = limit if misfire == "all" else 1
    before = due - timedelta(microseconds=1)
    surely = now - jitter
    come = deque(last_between(table, before, surely, most), maxlen=most)
    following: datetime | None = None
    for moment in due_between(table, max(before, surely), now):
        if moment + jitter_of(name, moment, jitter) > now:
            following = moment
            break
        come.append(moment)
    if not come:
        return Decision([], 0, following or next_after(table, before))
    latest = come[-1]
    is_late = now - latest - jitter_of(name, latest, jitter) > tolerance
    run = [] if misfire == "skip" and is_late else list(come)
    missed = _passed(table, before, latest) - len(run)
    return Decision(run, missed, following or next_after(table, latest))


def _passed(table: Timetable, after: datetime, until: datetime) -> int:
    """How many moments lie between, counted up to a bound: it is a figure for people."""
    if table.every is not None:
        return (until - table.anchor) // table.every - (after - table.anchor) // table.every
    return sum(1 for _ in islice(due_between(table, after, until), _COUNTED))


# ---- the moments of one timetable


def _moments(table: Timetable, after: datetime) -> Iterator[datetime]:
    after = after.astimezone(UTC)
    if table.at is not None:
        return iter([table.at.astimezone(UTC)] if table.at > after else [])
    if table.every is not None:
        return _interval(table.every, table.anchor.astimezone(UTC), after)
    if table.cron is None:
        return iter(())
    template = _template(table.cron)
    zone = ZoneInfo(table.timezone)
    if template.parts[2].startswith("*") and len(template.hours) == 24:
        return _elapsed(template, zone, after)
    return _local(template, zone, after)


def _interval(every: timedelta, anchor: datetime, after: datetime) -> Iterator[datetime]:
    moment = anchor + every * max(1, (after - anchor) // every + 1)
    while True:
        yield moment
        moment += every


@lru_cache(maxsize=4096)
def _template(cron: str) -> CronSim:
    """The parsed expression; copied for use, never moved."""
    expression = _ALIASES.get(cron.strip().lower(), cron)
    if len(expression.split()) != _FIELDS:  # the library also knows a sixth, for seconds
        raise CronSimError("wrong number of fields")
    return CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - local times


def _matches(template: CronSim, after: datetime) -> Iterator[datetime]:
    """Local times later than the local time `after` that the expression names, as naive datetimes."""
    walk = copy(template)
    walk.dt = after.replace(microsecond=0)
    last = after + _FAR
    while True:
        try:
            found = next(walk)
        except StopIteration, OverflowError:
            return
        if found > last:
            return
        yield found


def _local(template: CronSim, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Named local times: a skipped one at the end of its gap, a doubled one at its first pass."""
    start = after.astimezone(zone).replace(tzinfo=None, fold=0)
    latest = after
    for local in _matches(template, start):
        moment = local.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) != local:
            moment = _change_between(zone, moment - _DAY, moment + _DAY)
        if moment > latest:
            latest = moment
            yield moment


def _elapsed(template: CronSim, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Every moment whose local time matches, one stretch of equal offset after the other."""
    start, since = after, after
    while True:
        offset = _offset(zone, start)
        change: datetime | None = None
        for match in _matches(template, (since + offset).replace(tzinfo=None)):
            moment = match.replace(tzinfo=UTC) - offset
            change = _first_change(zone, start, moment)
            if change is not None:
                break
            yield moment
            start = moment
        if change is None:
            return
        start, since = change, change - _SECOND  # the first moment of the new stretch may match itself


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment in (start, end] with another offset than at `start`."""
    offset = _offset(zone, start)
    step = start
    while step < end:
        ahead = min(step + _DAY, end)
        if _offset(zone, ahead) != offset:
            return _change_between(zone, step, ahead)
        step = ahead
    return None


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The moment in (low, high] from which on the offset is another one than at `low`, to the second."""
    offset = _offset(zone, low)
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + ((high - low) / 2) // _SECOND * _SECOND
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high
