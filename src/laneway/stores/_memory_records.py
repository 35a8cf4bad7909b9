"""What the memory stores of one process that belong together share."""

from collections.abc import Callable

from laneway._core.events import EventRow
from laneway._core.records import RunRecord, Signal, StepRow, Wish
from laneway.ports import EngineCard

__all__ = ["Records"]


class Records:
    """What the memory stores of one process that belong together share."""

    def __init__(self) -> None:
        self.runs: dict[bytes, RunRecord] = {}
        self.keys: dict[str, bytes] = {}
        self.steps: dict[bytes, dict[tuple[str, int], StepRow]] = {}
        self.signals: dict[bytes, dict[str, Signal]] = {}
        self.events: list[EventRow] = []
        self.first = 1
        """The cursor of the first event that is still there."""
        self.wishes: dict[tuple[bytes, str, str], Wish] = {}
        self.engines: dict[str, tuple[EngineCard, float, Callable[[], None] | None]] = {}
        self.documents: dict[tuple[str, str], tuple[int, bytes]] = {}
