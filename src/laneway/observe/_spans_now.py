"""Spans of one run, each made when it begins, by nothing but OpenTelemetry's API: for every tracer there is."""

from collections.abc import Mapping
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from laneway._core.records import StepRow, Transition
from laneway.observe._span_parts import (
    TRACEPARENT,
    failure_of,
    key_of,
    lane_attributes,
    nanoseconds,
    traceparent,
)
from laneway.ports import Outcome, StepOrder

__all__ = ["SpansNow"]


class SpansNow:
    """The open spans of a run.

    Args:
        tracer: makes them.
        run: the run's own span.
    """

    def __init__(self, tracer: Tracer, run: Span) -> None:
        self._tracer = tracer
        self._run = run
        self._context = trace.set_span_in_context(run)
        carrier: dict[str, str] = {}
        inject(carrier, self._context)
        if TRACEPARENT not in carrier:  # the program's propagator writes something else
            carrier[TRACEPARENT] = traceparent(run.get_span_context())
        self.carrier: Mapping[str, str] = carrier
        self._steps: dict[tuple[str, int], Span] = {}
        self._attempts: dict[tuple[str, int], tuple[Span, int]] = {}

    def started(self, attributes: Mapping[str, Any]) -> None:
        """Say more about the run."""
        self._run.set_attributes(attributes)

    def attempt_started(self, order: StepOrder) -> Mapping[str, str]:
        """Begin the attempt's span, and its step's."""
        key = key_of(order)
        step = self._steps.get(key)
        if step is None:
            about: dict[str, str | int] = {"laneway.task": order.task.id}
            if order.item is not None:
                about["laneway.key"] = order.item
            name = f"step {order.task.id}"
            step = self._steps[key] = self._tracer.start_span(name, self._context, attributes=about)
        attempt = self._tracer.start_span(
            f"attempt {order.task.id}",
            trace.set_span_in_context(step),
            attributes={"laneway.attempt": order.attempt},
        )
        self._attempts[key] = attempt, time_ns()
        carrier: dict[str, str] = {}
        inject(carrier, trace.set_span_in_context(attempt))
        return carrier or {TRACEPARENT: traceparent(attempt.get_span_context())}

    def attempt_ended(self, order: StepOrder, outcome: Outcome) -> None:
        """End the attempt's span, with one inside it for its lane."""
        found = self._attempts.pop(key_of(order), None)
        if found is None:
            return
        attempt, began = found
        about = lane_attributes(outcome)
        if outcome.started:
            start = max(nanoseconds(outcome.started), began)
            inside = trace.set_span_in_context(attempt)
            lane = self._tracer.start_span(f"lane {outcome.lane}", inside, start_time=start, attributes=about)
            lane.end(start + max(nanoseconds(outcome.duration), 0))
        attempt.set_attributes({**about, "laneway.outcome": outcome.kind})
        if outcome.stopped_by:
            attempt.set_attribute("laneway.stopped_by", outcome.stopped_by)
        if outcome.kind in ("failure", "stopped"):
            _failed(attempt, outcome.body)
        attempt.end()

    def attempt_dropped(self, order: StepOrder) -> None:
        """End the span of an attempt that was stopped."""
        found = self._attempts.pop(key_of(order), None)
        if found is not None:
            found[0].set_status(Status(StatusCode.ERROR, "stopped"))
            found[0].end()

    def committed(self, transition: Transition, seconds: float, *, commits: bool) -> None:
        """End the spans of steps that are over, and make one for the commit."""
        if commits:
            now = time_ns()
            about = {"laneway.steps": len(transition.steps), "laneway.events": len(transition.events)}
            begun = now - nanoseconds(seconds)
            self._tracer.start_span("commit", self._context, start_time=begun, attributes=about).end(now)
        for row in transition.steps:
            if row.status != "waiting":
                self._step_over(row)

    def left(self, status: str, how: Status | None) -> None:
        """End what is still open, and the run."""
        for attempt, _ in self._attempts.values():
            attempt.end()
        for step in self._steps.values():
            step.end()
        self._run.set_attribute("laneway.status", status)
        if how is not None:
            self._run.set_status(how)
        self._run.end()

    def _step_over(self, row: StepRow) -> None:
        step = self._steps.pop((row.task, row.item), None)
        if step is None:
            return
        step.set_attributes({"laneway.status": row.status, "laneway.attempts": row.attempt})
        if row.error is not None:
            _failed(step, row.error)
        step.end()


def _failed(span: Span, body: bytes) -> None:
    failure = failure_of(body)
    span.set_status(failure.status())
    span.add_event("exception", failure.attributes())
