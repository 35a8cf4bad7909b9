"""Whether and when a failed attempt is tried again."""

from typing import Any

import msgspec

from laneway._core.model import BACKOFF, TaskSpec

__all__ = ["delay_before", "is_tried_again"]


def delay_before(attempt: int, spread: float, backoff: tuple[float, ...] = BACKOFF) -> float:
    """Seconds to wait before attempt number `attempt` (2 is the first retry).

    Grows by the factor each time up to the cap; `spread` in [0, 1) shifts it by up to the jitter's share either way,
    so that many steps that failed together do not come back together (after the AWS architecture blog, 2015).
    """
    first, factor, cap, jitter = backoff
    try:
        grown = first * factor ** (attempt - 2)
    except OverflowError:
        grown = cap
    return min(grown, cap) * (1.0 - jitter + 2.0 * jitter * spread)


def is_tried_again(spec: TaskSpec, attempt: int, error: bytes) -> bool:
    """Whether attempt number `attempt`, which failed with that record, is followed by another one."""
    if attempt > spec.retries:
        return False
    if not spec.retry_on:
        return True
    record = msgspec.json.decode(error, type=dict[str, Any])
    names: list[Any] = [record.get("type"), record.get("kind"), *record.get("bases", ())]
    return any(name in names for name in spec.retry_on)
