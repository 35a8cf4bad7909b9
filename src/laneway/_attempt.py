"""Which attempt the running code belongs to: what lanes, logs and `laneway.aio` share. Standard library only."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

__all__ = ["Here", "alone", "context_of", "current", "found", "serve_alone"]


class Here:
    """An attempt that runs in the engine's own process. `order` is a `laneway.ports.StepOrder`."""

    __slots__ = ("lane", "order")

    def __init__(self, order: Any, lane: str) -> None:
        self.order = order
        self.lane = lane

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the task says about itself."""
        found: Mapping[str, Any] = self.order.metadata
        return found


current: ContextVar[Any] = ContextVar("laneway_attempt", default=None)
"""A `Here`; in a worker an object with `number` and `metadata`."""

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


def context_of(order: Any, lane: str, worker: str = "") -> dict[str, Any]:
    """What every log line of an attempt carries."""
    context = {
        "run": order.run,
        "workflow": order.workflow,
        "task": order.task.id,
        "key": order.item,
        "attempt": order.attempt,
        "lane": lane,
        "correlation_id": order.metadata.get("correlation_id") or order.run,
    }
    if worker:
        context["worker"] = worker
    return context
