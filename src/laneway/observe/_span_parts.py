"""What the spans of a run have in common, however they are made: their names, attributes and statuses."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from opentelemetry.trace import SpanContext, Status, StatusCode

from laneway._core.records import Transition
from laneway.ports import Outcome, StepOrder

__all__ = [
    "TRACEPARENT",
    "Failure",
    "RunSpans",
    "failure_of",
    "key_of",
    "lane_attributes",
    "nanoseconds",
    "status_of",
    "traceparent",
]

TRACEPARENT = "traceparent"
"""The key of W3C trace context in `StepOrder.metadata` and in a run's tags."""

_NANOSECONDS = 1_000_000_000


class RunSpans(Protocol):
    """The spans of one run that is recorded. Its own begins when this is made."""

    carrier: Mapping[str, str]
    """The run's context, to be recorded with it; has `traceparent`."""

    def started(self, attributes: Mapping[str, Any]) -> None:
        """Say more about the run."""
        ...

    def attempt_started(self, order: StepOrder) -> Mapping[str, str]:
        """Begin an attempt, and its step; gives the attempt's context, as it is carried."""
        ...

    def attempt_ended(self, order: StepOrder, outcome: Outcome) -> None:
        """End the attempt, with the time its code ran on the lane inside it."""
        ...

    def attempt_dropped(self, order: StepOrder) -> None:
        """End an attempt that was stopped."""
        ...

    def committed(self, transition: Transition, seconds: float, *, commits: bool) -> None:
        """End the steps that are over; with `commits` make a span for the commit."""
        ...

    def left(self, status: str, how: Status | None) -> None:
        """End all that is open, and the run."""
        ...


class Failure(msgspec.Struct):
    """A failure record, as far as spans tell it."""

    kind: str = "other"
    type: str = ""
    message: str = ""
    traceback: str = ""

    def attributes(self) -> dict[str, str]:
        """Those of the `exception` event."""
        return {
            "exception.type": self.type,
            "exception.message": self.message,
            "exception.stacktrace": self.traceback,
            "laneway.kind": self.kind,
        }

    def status(self) -> Status:
        """The span's."""
        return Status(StatusCode.ERROR, f"{self.type}: {self.message}")


failure_of = msgspec.json.Decoder(Failure).decode


def key_of(order: StepOrder) -> tuple[str, int]:
    """Which step an order is for."""
    return order.task.id, -1 if order.item is None else order.item


def traceparent(context: SpanContext) -> str:
    """As W3C writes it."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def status_of(run_status: str) -> Status:
    """The status of a run's span."""
    return Status(StatusCode.OK) if run_status == "succeeded" else Status(StatusCode.ERROR, run_status)


def nanoseconds(seconds: float) -> int:
    """As OpenTelemetry counts."""
    return int(seconds * _NANOSECONDS)


def lane_attributes(outcome: Outcome) -> dict[str, Any]:
    """Where an attempt ran."""
    return {"laneway.lane": outcome.lane, "laneway.worker": outcome.worker}
