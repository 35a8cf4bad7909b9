"""OpenTelemetry spans for runs, steps, attempts, their time on a lane, and store commits. Needs `laneway[otel]`."""

from collections.abc import Mapping
from time import time_ns
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import Span, Status, StatusCode, Tracer, TracerProvider

from laneway import __version__
from laneway._core.records import StepRow, Transition
from laneway.ports import LiveRun, Observer, Outcome, StepOrder

__all__ = ["TRACEPARENT", "Traces"]

TRACEPARENT = "traceparent"
"""The key of W3C trace context in `StepOrder.metadata` and in a run's tags."""

_MOST_ASKED = 10_000
_NANOSECONDS = 1_000_000_000


class _RunSpans:
    """The open spans of one run."""

    __slots__ = ("attempts", "context", "span", "steps")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = trace.set_span_in_context(span)
        self.steps: dict[tuple[str, int], Span] = {}
        self.attempts: dict[tuple[str, int], tuple[Span, int]] = {}


class Traces(Observer):
    """Makes spans as an observer of an engine: `engine.observe(Traces())`.

    run → step → attempt → lane, and run → commit. A run that is started inside a span is its child; a run that is
    taken up by another engine goes on in the trace that it was started in. Each order carries `traceparent` in its
    metadata, so a task can go on with the trace on any lane. Runs that the sampler leaves out cost nothing more.

    Args:
        provider: by default the one that the program has set.
        commits: make a span for each commit.
    """

    def __init__(self, provider: TracerProvider | None = None, *, commits: bool = True) -> None:
        self._tracer: Tracer = trace.get_tracer("laneway", __version__, provider)
        self._commits = commits
        self._runs: dict[str, _RunSpans] = {}
        self._asked: dict[str, Span] = {}
        """By `traceparent`: spans of runs that are being recorded."""

    # ---- runs

    def new_run(self, workflow: str) -> Mapping[str, str]:
        """Begin the run's span where it is asked for; its context is recorded with the run."""
        span = self._tracer.start_span(f"run {workflow}", attributes={"laneway.workflow": workflow})
        carrier: dict[str, str] = {}
        if not span.is_recording():
            return carrier
        inject(carrier, trace.set_span_in_context(span))
        if TRACEPARENT in carrier:
            self._asked[carrier[TRACEPARENT]] = span
            while len(self._asked) > _MOST_ASKED:  # refused ones that nobody told of
                self.not_begun({TRACEPARENT: next(iter(self._asked))})
        return carrier

    def not_begun(self, tags: Mapping[str, str]) -> None:
        """End the span of a run that was refused, or was there already."""
        span = self._asked.pop(tags.get(TRACEPARENT, ""), None)
        if span is not None:
            span.set_attribute("laneway.status", "not begun")
            span.end()

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """Take the run's span; of a run that is taken up, begin one in the trace that it was started in."""
        span = self._asked.pop(run.tags.get(TRACEPARENT, ""), None)
        if span is None:
            if not taken_over:
                return  # the sampler left it out when it was asked for
            parent = extract(dict(run.tags)) if TRACEPARENT in run.tags else None
            span = self._tracer.start_span(f"run {run.plan.workflow.name}", parent)
        span.set_attributes(
            {
                "laneway.run": run.text_id,
                "laneway.workflow": run.plan.workflow.name,
                "laneway.correlation_id": run.correlation_id,
                "laneway.taken_over": taken_over,
            }
        )
        if span.is_recording():
            self._runs[run.text_id] = _RunSpans(span)

    def run_left(self, run: LiveRun) -> None:
        """End what is still open."""
        spans = self._runs.pop(run.text_id, None)
        if spans is None:
            return
        for attempt, _ in spans.attempts.values():
            attempt.end()
        for step in spans.steps.values():
            step.end()
        status = run.status or "interrupted"
        spans.span.set_attribute("laneway.status", status)
        spans.span.set_status(_status(status))
        spans.span.end()

    # ---- attempts

    def attempt_started(self, run: LiveRun, order: StepOrder) -> StepOrder:
        """Begin the attempt's span, and its step's; the order carries the attempt's context."""
        spans = self._runs.get(run.text_id)
        if spans is None:
            return order
        key = _key(order)
        step = spans.steps.get(key)
        if step is None:
            about: dict[str, Any] = {"laneway.task": order.task.id}
            if order.item is not None:
                about["laneway.key"] = order.item
            step = spans.steps[key] = self._tracer.start_span(
                f"step {order.task.id}", spans.context, attributes=about
            )
        context = trace.set_span_in_context(step)
        attempt = self._tracer.start_span(
            f"attempt {order.task.id}", context, attributes={"laneway.attempt": order.attempt}
        )
        spans.attempts[key] = attempt, time_ns()
        carrier: dict[str, Any] = {}
        inject(carrier, trace.set_span_in_context(attempt))
        return msgspec.structs.replace(order, metadata={**order.metadata, **carrier})

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """End the attempt's span, with one inside it for the time its code ran on the lane."""
        spans = self._runs.get(run.text_id)
        found = None if spans is None else spans.attempts.pop(_key(order), None)
        if found is None:
            return outcome
        attempt, began = found
        about: Mapping[str, Any] = {"laneway.lane": outcome.lane, "laneway.worker": outcome.worker}
        if outcome.started:
            start = max(int(outcome.started * _NANOSECONDS), began)
            lane = self._tracer.start_span(
                f"lane {outcome.lane}", trace.set_span_in_context(attempt), start_time=start, attributes=about
            )
            lane.end(start + max(int(outcome.duration * _NANOSECONDS), 0))
        attempt.set_attributes({**about, "laneway.outcome": outcome.kind})
        if outcome.stopped_by:
            attempt.set_attribute("laneway.stopped_by", outcome.stopped_by)
        if outcome.kind in ("failure", "stopped"):
            _failed(attempt, outcome.body)
        attempt.end()
        return outcome

    def attempt_dropped(self, run: LiveRun, order: StepOrder) -> None:
        """End the span of an attempt that was stopped."""
        spans = self._runs.get(run.text_id)
        found = None if spans is None else spans.attempts.pop(_key(order), None)
        if found is not None:
            found[0].set_status(Status(StatusCode.ERROR, "stopped"))
            found[0].end()

    # ---- commits

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """End the spans of steps that are over, and make one for the commit."""
        spans = self._runs.get(run.text_id)
        if spans is None:
            return
        if self._commits:
            now = time_ns()
            commit = self._tracer.start_span(
                "commit",
                spans.context,
                start_time=now - int(seconds * _NANOSECONDS),
                attributes={"laneway.steps": len(transition.steps), "laneway.events": len(transition.events)},
            )
            commit.end(now)
        for row in transition.steps:
            if row.status != "waiting":
                self._step_over(spans, row)

    def _step_over(self, spans: _RunSpans, row: StepRow) -> None:
        step = spans.steps.pop((row.task, row.item), None)
        if step is None:
            return
        step.set_attributes({"laneway.status": row.status, "laneway.attempts": row.attempt})
        if row.error is not None:
            _failed(step, row.error)
        step.end()


def _key(order: StepOrder) -> tuple[str, int]:
    return order.task.id, -1 if order.item is None else order.item


def _status(status: str) -> Status:
    return Status(StatusCode.OK) if status == "succeeded" else Status(StatusCode.ERROR, status)


class _Failure(msgspec.Struct):
    kind: str = "other"
    type: str = ""
    message: str = ""
    traceback: str = ""


_decode_failure = msgspec.json.Decoder(_Failure).decode


def _failed(span: Span, body: bytes) -> None:
    failure = _decode_failure(body)
    span.set_status(Status(StatusCode.ERROR, f"{failure.type}: {failure.message}"))
    span.add_event(
        "exception",
        {
            "exception.type": failure.type,
            "exception.message": failure.message,
            "exception.stacktrace": failure.traceback,
            "laneway.kind": failure.kind,
        },
    )
