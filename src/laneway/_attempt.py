"""Which attempt the running code belongs to: what lanes, logs and `laneway.aio` share. Standard library only."""

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Here", "alone", "context_of", "current", "found", "serve_alone", "workshop"]


OUTPUT_LIMIT = 65_536
"""Characters kept of what one attempt prints."""


class Here:
    """An attempt that runs in the engine's own process. `order` is a `laneway.ports.StepOrder`."""

    __slots__ = ("_size", "desk", "holds", "inner", "lane", "order", "output", "task")

    def __init__(self, order: Any, lane: str, desk: Any = None, inner: Any = None, task: Any = None) -> None:
        self.order = order
        self.lane = lane
        self.desk = desk
        """Where it makes and reads artifacts."""
        self.inner = inner
        """The lane that starts runs inside this one."""
        self.task = task
        """The asyncio task that it runs in."""
        self.holds = ""
        """What it has of pools and limits, in words."""
        self.output: list[str] | None = None
        """What it printed, in pieces; None while it printed nothing."""
        self._size = 0

    def printed(self, text: str) -> None:
        """Keep what was printed, up to a limit."""
        if self.output is None:
            self.output = []
        room = OUTPUT_LIMIT - self._size
        if room > 0:
            self.output.append(text[:room])
            self._size += len(text)
            if len(text) > room:
                self.output.append("\n... more was printed ...\n")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the task says about itself."""
        found: Mapping[str, Any] = self.order.metadata
        return found


current: ContextVar[Any] = ContextVar("laneway_attempt", default=None)
"""A `Here`; in a worker an object with `number` and `metadata`."""

workshop: Any = None
"""In a worker: where artifacts are made and read, and the audit hook that is to let it happen."""

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
