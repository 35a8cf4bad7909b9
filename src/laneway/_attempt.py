"""Which attempt the running code belongs to: what lanes, logs and `laneway.aio` share. Standard library only."""

from contextvars import ContextVar
from typing import Any

__all__ = ["alone", "current", "found", "serve_alone"]

current: ContextVar[Any] = ContextVar("laneway_attempt", default=None)
"""The `StepOrder` that runs here in an engine's process; in a worker an object with `number` and `metadata`."""

alone: Any = None
"""In a worker that runs one attempt at a time: that attempt, for threads that a task started without its context."""


def serve_alone(attempt: Any) -> None:
    """Called once by such a worker."""
    global alone
    alone = attempt
    current.set(attempt)


def found() -> Any:
    """The attempt that runs here, or None. It has `metadata`, a mapping."""
    return current.get() or alone
