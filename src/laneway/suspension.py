"""What a task returns to wait without holding anything: a signal, a moment, or another look later.

Standard library only: workers import this.
"""

from laneway._core.untyped import Any

__all__ = ["Suspension", "defer", "sleep_until", "wait_for_signal"]

_MISSING: Any = object()


class Suspension:
    """Returned by a task that is not done yet. Its step waits in the store and holds no lane, no pool and no thread.

    `body` is plain data: what is waited for.
    """

    __slots__ = ("body",)

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def __repr__(self) -> str:
        return f"Suspension({self.body!r})"


def wait_for_signal(name: str, *, timeout: Any = None, default: Any = _MISSING) -> Suspension:
    """Return this from a task: its value is what `handle.signal(name, value)` sends, whenever that comes.

    Args:
        name: which signal; one that was sent before counts.
        timeout: seconds (or a timedelta) to wait at most.
        default: the value when the time is over; without one the step fails with a time-out then.
    """
    if not isinstance(name, str) or not name:
        raise TypeError("wait_for_signal(name) takes the signal's name, a text that is not empty")
    body: dict[str, Any] = {"signal": name}
    if timeout is not None:
        body["seconds"] = _seconds(timeout)
    if default is not _MISSING:
        body["value"] = default
    return Suspension(body)


def sleep_until(moment: Any, value: Any = None) -> Suspension:
    """Return this from a task: its value is `value`, once `moment` has come.

    Args:
        moment: an aware datetime, or seconds since the epoch.
        value: what the task then returned.
    """
    stamp = getattr(moment, "timestamp", None)
    if stamp is not None:
        if getattr(moment, "tzinfo", None) is None:
            raise ValueError(
                "sleep_until(...) takes an aware datetime: datetime.now(UTC) + timedelta(hours=1)"
            )
        moment = stamp()
    return Suspension({"until": _number(moment), "value": value})


def defer(delay: Any) -> Suspension:
    """Return this from a task that polls: it is called again after `delay` seconds (or a timedelta).

    Looking again is no retry: it may go on for as long as it takes, and only the last call is recorded as an attempt.
    """
    return Suspension({"again": _seconds(delay)})


def _seconds(value: Any) -> float:
    total = getattr(value, "total_seconds", None)
    seconds = _number(value if total is None else total())
    if seconds < 0:
        raise ValueError(f"{seconds} seconds cannot be waited")
    return seconds


def _number(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value
        or value in (_INFINITE, -_INFINITE)
    ):
        raise TypeError(f"{value!r} is not a time")
    return float(value)


_INFINITE = float("inf")
