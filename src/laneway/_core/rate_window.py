"""A rate that several engines share: what was taken lately, as plain records. Pure: the time is told."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Taken", "counting", "taken", "wait_for"]

_CRUMB = 1e-9
"""What fractions may be off by."""
_GRAIN = 1 / 1000
"""Takings that are this share of a period apart are kept as one, so that no rate makes a long record."""


class Taken(NamedTuple):
    """What was taken between two moments that are close to each other. It counts for one period from the later one."""

    first: float
    last: float
    amount: float


def counting(window: Sequence[Taken], now: float, per: float) -> list[Taken]:
    """What of the window still counts. Moments yet to come are of a clock that was set anew: they count from now."""
    moved = [one if one.last <= now else Taken(min(one.first, now), now, one.amount) for one in window]
    return [one for one in moved if one.last + per > now]


def wait_for(amount: float, window: Sequence[Taken], now: float, *, capacity: float, per: float) -> float:
    """Seconds until that much can be taken, 0 for at once. The window holds only what counts."""
    short = sum(one.amount for one in window) + amount - capacity
    wait = 0.0
    for one in window:
        if short <= _CRUMB:
            break
        short -= one.amount
        wait = one.last + per - now
    return max(wait, 0.0)


def taken(amount: float, window: Sequence[Taken], now: float, *, per: float) -> list[Taken]:
    """The window once that much more was taken."""
    if window and now - window[-1].first < per * _GRAIN:
        before = window[-1]
        return [*window[:-1], Taken(before.first, now, before.amount + amount)]
    return [*window, Taken(now, now, amount)]
