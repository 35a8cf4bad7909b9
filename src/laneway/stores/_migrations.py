"""Schema changes in two halves, so that a running older release survives the first one.

The first half of a migration only adds (tables, columns with defaults, indexes): programs of the release before go on
working on it. The second half takes away what only they need; it is applied once no engine of an older schema is
registered. The number that old programs check (`floor`) moves with the second half.
"""

from collections.abc import Sequence
from typing import NamedTuple

from laneway.stores.sql import script

__all__ = ["Migration", "migrations", "pending"]


class Migration(NamedTuple):
    """One schema change. `number` is the schema it leads to."""

    number: int
    first: str
    """SQL that adds."""
    second: str = ""
    """SQL that takes away what only older releases used; empty where the change only adds."""


def migrations(adapter: str) -> tuple[Migration, ...]:
    """The adapter's own migrations, oldest first."""
    known: list[Migration] = []
    for number, name in enumerate(_FILES[adapter], 1):
        first, _, second = script(adapter, name).partition(_HALF)
        known.append(Migration(number, first, second))
    return tuple(known)


_HALF = "-- second half\n"

_FILES = {
    "sqlite": ("0001_schema", "0002_schedules", "0003_live_runs"),
    "postgres": ("0001_schema", "0002_schedules", "0003_artifacts"),
}


def pending(
    known: Sequence[Migration], applied: set[str], oldest_engine: int | None
) -> list[tuple[str, str, int | None]]:
    """What to apply now, in order: (name, SQL, the new floor or None).

    Args:
        known: all migrations of this release.
        applied: names of the halves that the store has.
        oldest_engine: the lowest schema among the engines that are registered; None without any.
    """
    steps: list[tuple[str, str, int | None]] = []
    for one in known:
        first, second = f"{one.number:04}.first", f"{one.number:04}.second"
        if first not in applied:
            steps.append((first, one.first, 1 if one.number == 1 else None))
        if one.second and second not in applied:
            if oldest_engine is not None and oldest_engine < one.number:
                break
            steps.append((second, one.second, one.number))
    return steps
