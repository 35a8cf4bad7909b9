"""One order on its way to workers elsewhere, as the engine sees it."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec

from laneway._core.failures import FailureKind, failure_record
from laneway.lanes._celery_wire import Word, outcome_from
from laneway.lanes._codec import failure_body
from laneway.ports import Outcome, StepOrder

__all__ = ["Parcel", "failed", "order_id"]


class Parcel(msgspec.Struct, eq=False):
    """An order between `run` and its outcome. It may be delivered several times; one outcome counts."""

    id: str
    order: StepOrder
    text: str
    queue: str
    future: asyncio.Future[Outcome]
    deliveries: list[str] = []
    """Ids of the messages it went out with, the last one being the one that counts."""
    posted: float = 0.0
    """Loop time when it went out; 0 while that is still under way."""
    waited_since: float = 0.0
    """Loop time since when no worker has taken it."""
    suspected: float = 0.0
    """Loop time since when it is in no queue and with no worker, as far as anybody knows; 0 if it is."""
    begun: float = 0.0
    """Loop time when a worker took it; 0 before."""
    seen: float = 0.0
    """Loop time of the last sign of life."""
    worker: str = ""
    unwanted: bool = False
    has_ended: bool = False
    """True once its worker said that it is over although nobody waited for that, or not yet."""
    rung: str = ""
    """What it took to stop it."""
    overdue: bool = False
    """True once its worker was told to stop it because its time limit passed long ago."""
    changed: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """Set whenever a worker said something about it."""

    @property
    def delivery(self) -> str:
        """The id of the message that counts."""
        return self.deliveries[-1] if self.deliveries else ""

    @property
    def is_over(self) -> bool:
        """True once it has an outcome, or nobody waits for one and the attempt has ended."""
        return self.future.done()

    def next_delivery(self) -> str:
        """The id for one more message."""
        self.deliveries.append(f"{self.id}#{len(self.deliveries) + 1}")
        self.posted = self.begun = self.seen = self.suspected = 0.0
        self.worker = ""
        return self.delivery

    def outcome(self, word: Word, lane: str) -> Outcome:
        """What the worker says came of it, as the engine records it."""
        outcome = outcome_from(word.outcome)
        where = f"{word.worker} {outcome.worker}".rstrip()
        return msgspec.structs.replace(outcome, lane=lane, worker=where)


def order_id(order: StepOrder) -> str:
    """Tells people which attempt a message is for. No two are equal: a run that is taken over has its attempts again,
    and workers pass over what they were given before.
    """
    item = "" if order.item is None else f"[{order.item}]"
    return f"{order.run}/{order.task.id}{item}/{order.attempt}.{uuid4().hex[:12]}"


def failed(kind: FailureKind, name: str, message: str, **more: Any) -> Outcome:
    """A failure that no worker reported."""
    return Outcome("failure", failure_body(failure_record(kind, name, message)), lane="celery", **more)
