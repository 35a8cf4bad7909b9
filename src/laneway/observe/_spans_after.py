"""Spans of one run, noted while it goes on and made together afterwards: a quarter of what the SDK's own making costs.

Only where nobody could tell the difference: OpenTelemetry's own SDK, processors that do nothing when a span begins,
samplers that keep what is inside a trace they took, W3C's propagator, no limits on attributes. In all other cases, and
whenever the SDK looks different from what is known here, spans are made one by one (`SpansNow`).
"""

import asyncio
import sys
from collections import deque
from collections.abc import Mapping
from time import time_ns
from typing import Any

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.context import get_current as context_now
from opentelemetry.propagate import get_global_textmap, inject
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from laneway._core.records import Transition
from laneway.observe._span_parts import TRACEPARENT, Failure, failure_of, key_of, nanoseconds, traceparent
from laneway.ports import Outcome, StepOrder

__all__ = ["Bench", "SpansAfter", "Workshop"]

_W3C = frozenset({TRACEPARENT, "tracestate", "baggage"})
_LEAST_LIMIT = 32
"""Attributes, events: more than any span here has."""
_UNSET = Status(StatusCode.UNSET)
_STOPPED = Status(StatusCode.ERROR, "stopped")

type Key = tuple[str, int]
type Noted = tuple[
    Workshop,
    str,
    SpanContext,
    SpanContext | None,
    int,
    int,
    dict[str, Any],
    Status,
    tuple[Failure, int] | None,
]
"""Who makes it, name, its own and its parent's context, begin, end, attributes, status, and what went wrong when."""


class Workshop:
    """Makes finished spans and hands them to the processors of one provider.

    Args:
        sdk: the module `opentelemetry.sdk.trace`.
        tracer: its tracer.
    """

    def __init__(self, sdk: Any, tracer: Any) -> None:
        self.tracer = tracer
        self.new_id = tracer.id_generator.generate_span_id
        self._processors: Any = tracer.span_processor._span_processors
        self._propagator = get_global_textmap()
        self._sampler = tracer.sampler
        # Whom a `ParentBased` asks where there is no parent.
        self._root_sampler = getattr(tracer.sampler, "_root", tracer.sampler)
        is_ratio = (
            type(self._root_sampler) is sys.modules["opentelemetry.sdk.trace.sampling"].TraceIdRatioBased
        )
        self._bound: int | None = self._root_sampler.bound if is_ratio else None
        self._mask: int = self._root_sampler.TRACE_ID_LIMIT if is_ratio else 0
        self._span = sdk.ReadableSpan
        self._event = sdk.Event
        self._resource = tracer.resource
        self._scope = tracer._instrumentation_scope
        self._on_end = tracer.span_processor.on_end

    @staticmethod
    def of(tracer: Tracer, before: Workshop | None) -> Workshop | None:
        """One for that tracer, `before` if it still fits; None where only the API can be used."""
        sdk: Any = sys.modules.get("opentelemetry.sdk.trace")
        real: Any = getattr(tracer, "_tracer", tracer)  # of a provider that was set later
        try:
            if before is not None and before._still_fits(real):
                return before
            is_plain = type(real) is sdk.Tracer and _is_plain(sdk, real)
            return Workshop(sdk, real) if is_plain and get_global_textmap().fields <= _W3C else None
        except AttributeError:  # an SDK of another shape, or none
            return None

    def _still_fits(self, tracer: Any) -> bool:
        return (
            tracer is self.tracer
            and tracer.span_processor._span_processors is self._processors
            and tracer.resource is self._resource
            and tracer.sampler is self._sampler
            and get_global_textmap() is self._propagator
        )

    def root(
        self, name: str, parent: Context | None, attributes: dict[str, Any]
    ) -> tuple[SpanContext, SpanContext | None] | None:
        """Contexts of a run's span and of what it is inside of, as the SDK decides; None if it leaves the run out."""
        tracer = self.tracer
        if not tracer._is_enabled():
            return None
        outer: SpanContext | None = None
        if parent is not None or context_now():
            outer = trace.get_current_span(parent).get_span_context()
        sampler = self._sampler
        if outer is None or not outer.is_valid:
            outer, sampler = None, self._root_sampler
            number = tracer.id_generator.generate_trace_id()
            if self._bound is not None and number & self._mask >= self._bound:
                return None  # what the sampler would say: most runs, where few are taken
            is_random = tracer.id_generator.is_trace_id_random()
        else:
            number = outer.trace_id
            is_random = outer.trace_flags.random_trace_id
        decided = sampler.should_sample(parent, number, name, SpanKind.INTERNAL, attributes, ())
        if not decided.decision.is_sampled():
            return None
        flags = TraceFlags.SAMPLED | (TraceFlags.RANDOM_TRACE_ID if is_random else 0)
        return SpanContext(number, self.new_id(), False, TraceFlags(flags), decided.trace_state), outer

    def make(self, noted: Noted) -> None:
        """Make a span from what was noted."""
        _, name, context, parent, begun, ended, attributes, status, failed = noted
        events: tuple[Any, ...] = ()
        if failed is not None:
            events = (self._event("exception", failed[0].attributes(), failed[1]),)
        self._on_end(
            self._span(
                name,
                context,
                parent,
                self._resource,
                attributes,
                events,
                status=status,
                start_time=begun,
                end_time=ended,
                instrumentation_scope=self._scope,
            )
        )


def _is_plain(sdk: Any, tracer: Any) -> bool:
    """Whether spans that come into being finished are the same to everybody."""
    if not callable(getattr(tracer.id_generator, "is_trace_id_random", None)):
        return False
    export: Any = sys.modules.get("opentelemetry.sdk.trace.export")
    own: list[Any] = [sdk.SpanProcessor]
    if export is not None:
        own += [export.BatchSpanProcessor, export.SimpleSpanProcessor]
    for name in ("on_start", "_on_ending"):
        silent = {getattr(one, name) for one in own}
        for processor in tracer.span_processor._span_processors:
            if getattr(processor.__class__, name) not in silent:
                return False
    limits = tracer._span_limits
    for name in ("max_span_attributes", "max_event_attributes", "max_events"):
        limit = getattr(limits, name)
        if limit is not None and limit < _LEAST_LIMIT:
            return False
    if limits.max_attribute_length is not None or limits.max_span_attribute_length is not None:
        return False
    sampling: Any = sys.modules["opentelemetry.sdk.trace.sampling"]
    sampler = tracer.sampler
    if sampler.__class__.should_sample is sampling.ParentBased.should_sample:
        return sampler._local_parent_sampled is sampling.ALWAYS_ON
    return type(sampler) in (sampling.StaticSampler, sampling.TraceIdRatioBased)


class Bench:
    """What was noted and not made yet, of all runs of one `Traces`; from any thread."""

    def __init__(self) -> None:
        self.noted: deque[Noted] = deque()
        self.is_asked = False

    def ask(self) -> None:
        """Have spans made a moment later, once what goes on now has been handed to lanes and the store."""
        self.is_asked = True
        asyncio.get_running_loop().call_soon(self.make)

    def make(self) -> None:
        """Make all of them now."""
        self.is_asked = False
        noted = self.noted
        while noted:
            try:
                one = noted.popleft()
            except IndexError:  # another thread took it
                return
            one[0].make(one)


class SpansAfter:
    """What is noted of a run.

    Args:
        workshop: makes the spans.
        bench: where finished ones wait.
        name: of the run's own span.
        run: its context.
        outer: of what the run is inside of.
        attributes: of the run's span.
    """

    def __init__(
        self,
        workshop: Workshop,
        bench: Bench,
        name: str,
        run: SpanContext,
        outer: SpanContext | None,
        attributes: dict[str, Any],
    ) -> None:
        self._workshop = workshop
        self._bench = bench
        self._name = name
        self._outer = outer
        self._about = attributes
        self._began = time_ns()
        self._new_id = workshop.new_id
        self._run = run
        self._trace, self._flags, self._state = run.trace_id, run.trace_flags, run.trace_state
        self._before = f"00-{self._trace:032x}-"
        self._behind = f"-{self._flags:02x}"
        self._more: dict[str, str] = {}
        if run.trace_state or baggage.get_all():
            inject(self._more, trace.set_span_in_context(trace.NonRecordingSpan(run)))
            self._more.pop(TRACEPARENT, None)
        self.carrier: Mapping[str, str] = {**self._more, TRACEPARENT: traceparent(run)}
        self._steps: dict[Key, tuple[SpanContext, int]] = {}
        self._attempts: dict[Key, tuple[int, int, SpanContext]] = {}

    @staticmethod
    def begin(
        workshop: Workshop, bench: Bench, name: str, parent: Context | None, attributes: dict[str, Any]
    ) -> SpansAfter | None:
        """Begin a run; None if the sampler leaves it out."""
        found = workshop.root(name, parent, attributes)
        return None if found is None else SpansAfter(workshop, bench, name, *found, attributes)

    def started(self, attributes: Mapping[str, Any]) -> None:
        """Say more about the run."""
        self._about.update(attributes)

    def attempt_started(self, order: StepOrder) -> Mapping[str, str]:
        """Note that an attempt began, and its step."""
        key = key_of(order)
        now = time_ns()
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._inside(self._new_id()), now
        attempt = self._new_id()
        self._attempts[key] = attempt, now, step[0]
        parent = f"{self._before}{attempt:016x}{self._behind}"
        return {**self._more, TRACEPARENT: parent} if self._more else {TRACEPARENT: parent}

    def attempt_ended(self, order: StepOrder, outcome: Outcome) -> None:
        """Note the attempt's end, and its time on the lane."""
        found = self._attempts.pop(key_of(order), None)
        if found is None:
            return
        number, began, step = found
        now = time_ns()
        attempt = self._inside(number)
        lane, worker, kind = outcome.lane, outcome.worker, outcome.kind
        if outcome.started:
            start = min(max(nanoseconds(outcome.started), began), now)
            end = min(start + max(nanoseconds(outcome.duration), 0), now)
            where = {"laneway.lane": lane, "laneway.worker": worker}
            self._note(f"lane {lane}", self._inside(self._new_id()), attempt, start, end, where)
        about: dict[str, Any] = {
            "laneway.attempt": order.attempt,
            "laneway.lane": lane,
            "laneway.worker": worker,
            "laneway.outcome": kind,
        }
        if outcome.stopped_by:
            about["laneway.stopped_by"] = outcome.stopped_by
        body = outcome.body if kind in ("failure", "stopped") else None
        self._note(f"attempt {order.task.id}", attempt, step, began, now, about, body)

    def attempt_dropped(self, order: StepOrder) -> None:
        """Note that an attempt was stopped."""
        found = self._attempts.pop(key_of(order), None)
        if found is not None:
            number, began, step = found
            about = {"laneway.attempt": order.attempt}
            attempt, now = self._inside(number), time_ns()
            self._note(f"attempt {order.task.id}", attempt, step, began, now, about, status=_STOPPED)

    def committed(self, transition: Transition, seconds: float, *, commits: bool) -> None:
        """Note which steps are over, and the commit."""
        now = time_ns()
        if commits:
            about = {"laneway.steps": len(transition.steps), "laneway.events": len(transition.events)}
            context = self._inside(self._new_id())
            self._note("commit", context, self._run, now - nanoseconds(seconds), now, about)
        for row in transition.steps:
            if row.status != "waiting":
                step = self._steps.pop((row.task, row.item), None)
                if step is not None:
                    over = {"laneway.status": row.status, "laneway.attempts": row.attempt}
                    self._step(row.task, row.item, step, now, over, row.error)

    def left(self, status: str, how: Status | None) -> None:
        """Note what is still open as ended now, and have all of it made."""
        now = time_ns()
        for (task, _), (number, began, step) in self._attempts.items():
            self._note(f"attempt {task}", self._inside(number), step, began, now, {})
        for (task, item), open_step in self._steps.items():
            self._step(task, item, open_step, now, {}, None)
        self._attempts.clear()
        self._steps.clear()
        self._about["laneway.status"] = status
        run = self._workshop, self._name, self._run, self._outer, self._began, now, self._about
        self._bench.noted.append((*run, how or _UNSET, None))
        self._bench.make()

    def _step(
        self,
        task: str,
        item: int,
        step: tuple[SpanContext, int],
        now: int,
        over: dict[str, Any],
        error: bytes | None,
    ) -> None:
        about: dict[str, Any] = {"laneway.task": task}
        if item >= 0:
            about["laneway.key"] = item
        about.update(over)
        self._note(f"step {task}", step[0], self._run, step[1], now, about, error)

    def _inside(self, number: int) -> SpanContext:
        return SpanContext(self._trace, number, False, self._flags, self._state)

    def _note(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext,
        begun: int,
        ended: int,
        attributes: dict[str, Any],
        error: bytes | None = None,
        status: Status = _UNSET,
    ) -> None:
        failed = None
        if error is not None:
            failure = failure_of(error)
            failed, status = (failure, ended), failure.status()
        bench = self._bench
        bench.noted.append((self._workshop, name, context, parent, begun, ended, attributes, status, failed))
        if not bench.is_asked:
            bench.ask()
