"""Expands recurrence rules with python-dateutil. Its workflow is in laneway.toml."""

from collections import defaultdict
from datetime import datetime

from dateutil.rrule import rrulestr  # type: ignore[import-untyped]  # vendored

from laneway import task


@task(lane="interpreter")
def dates(appointments: list[dict[str, str]], until: str) -> dict[str, list[str]]:
    """The days of each appointment up to `until`."""
    end = datetime.fromisoformat(until)
    found: dict[str, list[str]] = {}
    for one in appointments:
        start = datetime.fromisoformat(one["start"])
        days = rrulestr(one["rule"], dtstart=start).between(start, end, inc=True)
        found[one["name"]] = [day.date().isoformat() for day in days]
    return found


@task
def collisions(dates: dict[str, list[str]]) -> dict[str, list[str]]:
    """Days with more than one appointment."""
    days: defaultdict[str, list[str]] = defaultdict(list)
    for name, its in dates.items():
        for day in its:
            days[day].append(name)
    return {day: names for day, names in sorted(days.items()) if len(names) > 1}
