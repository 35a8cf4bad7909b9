"""Another way to know when a job is due: looks at every minute of a span, with rules written down anew."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
LOOK_BACK = timedelta(hours=6)
"""How long before a span its minutes are looked at: it may begin where a local time comes for the second time."""
NAMES = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}


def parsed(field: str, low: int, high: int) -> set[int]:
    """The numbers a cron field names: `*`, numbers, ranges, steps and lists of them."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [NAMES.get(one, -1) if one in NAMES else int(one) for one in span.split("-")]
            first = ends[0]
            last = ends[-1] if len(ends) > 1 or not step else high
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Reference:
    """A five-field cron expression as a predicate over local minutes."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours = parsed(minute, 0, 59), parsed(hour, 0, 23)
        self.days, self.months = parsed(day, 1, 31), parsed(month, 1, 12)
        self.weekdays = {one % 7 for one in parsed(weekday, 0, 7)}
        self.both = day.startswith("*") or weekday.startswith("*")
        self.hourly = hour.startswith("*") and self.hours == set(range(24))

    def names(self, local: datetime) -> bool:
        """Whether the expression names that local minute."""
        if local.minute not in self.minutes or local.hour not in self.hours or local.month not in self.months:
            return False
        day, weekday = local.day in self.days, (local.weekday() + 1) % 7 in self.weekdays
        return day and weekday if self.both else day or weekday

    def due(self, zone: str, after: datetime, until: datetime) -> list[datetime]:
        """All due moments in (after, until], minute by minute of real time."""
        there = ZoneInfo(zone)
        found: list[datetime] = []
        moment = after.astimezone(UTC) - LOOK_BACK
        before = moment.astimezone(there).replace(tzinfo=None)
        seen_to = before  # the latest local minute that has been on the clock
        while moment < until:
            moment += MINUTE
            local = moment.astimezone(there).replace(tzinfo=None)
            if self.hourly:
                is_due = self.names(local)
            else:
                is_due = local > seen_to and self.names(local)
                skipped = before + MINUTE
                while skipped < local:  # the clock jumped over these
                    is_due = is_due or (skipped > seen_to and self.names(skipped))
                    skipped += MINUTE
            if is_due and moment > after:
                found.append(moment)
            before, seen_to = local, max(seen_to, local)
        return found
