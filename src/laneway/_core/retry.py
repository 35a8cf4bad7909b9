"""When a failed attempt is tried again."""

__all__ = ["FIRST_DELAY", "MAX_DELAY", "delay_before"]

FIRST_DELAY = 0.1
"""Seconds before the second attempt."""
MAX_DELAY = 30.0
"""Seconds at most between two attempts."""


def delay_before(attempt: int, spread: float) -> float:
    """Seconds to wait before attempt number `attempt` (2 is the first retry).

    Doubles each time up to the maximum; `spread` in [0, 1) shifts it by up to a quarter, so that many steps that
    failed together do not come back together ("full jitter" halved, after the AWS architecture blog, 2015).
    """
    return min(FIRST_DELAY * 2.0 ** (attempt - 2), MAX_DELAY) * (0.75 + 0.5 * spread)
