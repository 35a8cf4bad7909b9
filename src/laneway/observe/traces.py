"""OpenTelemetry spans for runs, steps, attempts, their time on a lane, and store commits. Needs `laneway[otel]`."""

from collections.abc import Mapping

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.trace import Tracer, TracerProvider

from laneway import __version__
from laneway._core.records import Transition
from laneway.observe._span_parts import TRACEPARENT, RunSpans, status_of
from laneway.observe._spans_after import Bench, SpansAfter, Workshop
from laneway.observe._spans_now import SpansNow
from laneway.ports import LiveRun, Observer, Outcome, StepOrder

__all__ = ["TRACEPARENT", "Traces"]

_MOST_ASKED = 10_000


class Traces(Observer):
    """Makes spans as an observer of an engine: `engine.observe(Traces())`.

    run → step → attempt → lane, and run → commit. A run that is started inside a span is its child; a run that is
    taken up by another engine goes on in the trace that it was started in. Each order carries `traceparent` in its
    metadata, so a task can go on with the trace on any lane. Runs that the sampler leaves out cost nothing more.

    With OpenTelemetry's own SDK as it usually is, what is inside a run is noted as it happens and made into spans
    together a moment later; by the time a run is over, all its spans have been handed to the provider's processors.

    Args:
        provider: by default the one that the program has set.
        commits: make a span for each commit.
    """

    def __init__(self, provider: TracerProvider | None = None, *, commits: bool = True) -> None:
        self._tracer: Tracer = trace.get_tracer("laneway", __version__, provider)
        self._commits = commits
        self._runs: dict[str, RunSpans] = {}
        self._asked: dict[str, RunSpans] = {}
        """By `traceparent`: runs that are being recorded."""
        self._workshop: Workshop | None = None
        self._bench = Bench()

    # ---- runs

    def new_run(self, workflow: str) -> Mapping[str, str]:
        """Begin the run's span where it is asked for; its context is recorded with the run."""
        spans = self._begin(f"run {workflow}", None, workflow)
        if spans is None:
            return {}
        self._asked[spans.carrier[TRACEPARENT]] = spans
        while len(self._asked) > _MOST_ASKED:  # refused ones that nobody told of
            self.not_begun({TRACEPARENT: next(iter(self._asked))})
        return spans.carrier

    def not_begun(self, tags: Mapping[str, str]) -> None:
        """End the span of a run that was refused, or was there already."""
        spans = self._asked.pop(tags.get(TRACEPARENT, ""), None)
        if spans is not None:
            spans.left("not begun", None)

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """Take the run's span; of a run that is taken up, begin one in the trace that it was started in."""
        spans = self._asked.pop(run.tags.get(TRACEPARENT, ""), None)
        if spans is None:
            if not taken_over:
                return  # the sampler left it out when it was asked for
            parent = extract(dict(run.tags)) if TRACEPARENT in run.tags else None
            workflow = run.plan.workflow.name
            spans = self._begin(f"run {workflow}", parent, workflow)
            if spans is None:
                return
        spans.started(
            {
                "laneway.run": run.text_id,
                "laneway.correlation_id": run.correlation_id,
                "laneway.taken_over": taken_over,
            }
        )
        self._runs[run.text_id] = spans

    def run_left(self, run: LiveRun) -> None:
        """End what is still open."""
        spans = self._runs.pop(run.text_id, None)
        if spans is not None:
            status = run.status or "interrupted"
            spans.left(status, status_of(status))

    def _begin(self, name: str, parent: Context | None, workflow: str) -> RunSpans | None:
        """Begin a run's span, if the sampler takes it."""
        about = {"laneway.workflow": workflow}
        workshop = self._workshop = Workshop.of(self._tracer, self._workshop)
        if workshop is not None:
            return SpansAfter.begin(workshop, self._bench, name, parent, about)
        span = self._tracer.start_span(name, parent, attributes=about)
        return SpansNow(self._tracer, span) if span.is_recording() else None

    # ---- inside a run: told of every step, while the sampler leaves most runs out

    def attempt_started(self, run: LiveRun, order: StepOrder) -> StepOrder:
        """Begin the attempt's span, and its step's; the order carries the attempt's context."""
        spans = self._runs.get(run.text_id) if self._runs else None
        if spans is None:
            return order
        return msgspec.structs.replace(order, metadata={**order.metadata, **spans.attempt_started(order)})

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """End the attempt's span, with one inside it for the time its code ran on the lane."""
        spans = self._runs.get(run.text_id) if self._runs else None
        if spans is not None:
            spans.attempt_ended(order, outcome)
        return outcome

    def attempt_dropped(self, run: LiveRun, order: StepOrder) -> None:
        """End the span of an attempt that was stopped."""
        spans = self._runs.get(run.text_id)
        if spans is not None:
            spans.attempt_dropped(order)

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """End the spans of steps that are over, and make one for the commit."""
        spans = self._runs.get(run.text_id) if self._runs else None
        if spans is not None:
            spans.committed(transition, seconds, commits=self._commits)
