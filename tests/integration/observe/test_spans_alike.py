"""Spans that are made afterwards are those that the SDK would have made; where they might not be, it makes them."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import watched
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from laneway import Engine, Workflow, task, trace_context
from laneway.observe._spans_after import SpansAfter
from laneway.observe._spans_now import SpansNow
from laneway.observe.traces import Traces


class Noticing(SpanProcessor):
    """Wants to see spans begin, as processors that copy baggage onto spans do."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        self.begun.append(span.name)
        span.set_attribute("noticed", True)


class Setting(Traces):
    """Tells how the last run's spans were made."""

    made: type[Any] | None = None

    def run_left(self, run: Any) -> None:
        """Remember, and go on."""
        self.made = type(self._runs.get(run.text_id))
        super().run_left(run)


def provider_of(exporter: InMemorySpanExporter, **settings: Any) -> TracerProvider:
    provider = TracerProvider(**settings)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def told(spans: Sequence[ReadableSpan]) -> list[Any]:
    """The spans as a tree of plain data, without what differs from one run to the next."""
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    changing = {"laneway.run", "laneway.correlation_id", "laneway.worker", "noticed", "exception.stacktrace"}

    def attributes(of: Any) -> dict[str, Any]:
        return {key: value for key, value in sorted((of or {}).items()) if key not in changing}

    return sorted(
        (
            span.name,
            "" if span.parent is None else names[span.parent.span_id],
            str(attributes(span.attributes)),
            str((span.status.status_code, span.status.description)),
            str([(event.name, attributes(event.attributes)) for event in span.events]),
            str(
                (span.kind, span.links, span.instrumentation_scope, span.resource.attributes["service.name"])
            ),
        )
        for span in spans
    )


async def everything(engine: Engine) -> None:
    await engine.run(watched.EVERYWHERE, {"numbers": [1, 2]})
    await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]}, key="k")
    await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]}, key="k")
    await engine.run(Workflow("fails", [watched.fails_twice]), {"attempts": []}, check=False)
    handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
    while not (driver := engine.live(handle.id)) or not driver.running:
        await asyncio.sleep(0)
    await handle.cancel()


async def test_whoever_makes_them_the_spans_are_the_same() -> None:
    found: list[list[Any]] = []
    for extra, made in ((None, SpansAfter), (Noticing(), SpansNow)):
        exporter = InMemorySpanExporter()
        provider = provider_of(exporter)
        if extra is not None:
            provider.add_span_processor(extra)
        traces = Setting(provider)
        async with Engine("memory://", workers=1) as engine:
            engine.observe(traces)
            await everything(engine)
        assert traces.made is made
        found.append(told(exporter.get_finished_spans()))
        if extra is not None:
            assert sorted(extra.begun) == sorted(span.name for span in exporter.get_finished_spans())
    assert len(found[0]) > 40
    assert found[0] == found[1]


class Named(Sampler):
    """Leaves out what is named so: it must be asked for every span."""

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *rest: Any, **more: Any
    ) -> SamplingResult:
        return SamplingResult(Decision.DROP if name == "commit" else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "named"


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({}, SpansAfter),
        ({"sampler": ALWAYS_ON}, SpansAfter),
        ({"sampler": TraceIdRatioBased(1.0)}, SpansAfter),
        ({"sampler": ParentBasedTraceIdRatio(1.0)}, SpansAfter),
        ({"sampler": Named()}, SpansNow),
        ({"sampler": ParentBased(ALWAYS_ON, local_parent_sampled=Named())}, SpansNow),
        ({"span_limits": SpanLimits(max_span_attribute_length=3)}, SpansNow),
        ({"span_limits": SpanLimits(max_attributes=2)}, SpansNow),
    ],
    ids=["default", "on", "ratio", "parent", "own sampler", "sampler inside", "length", "number"],
)
async def test_an_unusual_provider_makes_its_spans_itself(
    settings: dict[str, Any], made: type[Any], request: pytest.FixtureRequest
) -> None:
    exporter = InMemorySpanExporter()
    traces = Setting(provider_of(exporter, **settings))
    async with Engine("memory://") as engine:
        engine.observe(traces)
        await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]})
    assert traces.made is made
    names = {span.name for span in exporter.get_finished_spans()}
    assert {"run map", "step item", "attempt item", "lane loop"} <= names
    assert ("commit" in names) is ("inside" not in request.node.name and "own" not in request.node.name)
    if "span_limits" in settings:
        assert all(
            len(span.attributes or {}) <= 2
            or all(len(str(one)) <= 6 for one in (span.attributes or {}).values())
            for span in exporter.get_finished_spans()
        )


class Counting(RandomIdGenerator):
    """Trace ids that can be told beforehand, spread over all there are."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def generate_trace_id(self) -> int:
        """The next."""
        self.made.append((len(self.made) + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834 % (1 << 128))
        return self.made[-1]


@pytest.mark.parametrize(
    "sampler", [TraceIdRatioBased(0.3), ParentBasedTraceIdRatio(0.3)], ids=["ratio", "parent"]
)
async def test_exactly_those_runs_are_traced_that_the_sampler_takes(sampler: Sampler) -> None:
    exporter = InMemorySpanExporter()
    numbers = Counting()
    provider = provider_of(exporter, sampler=sampler, id_generator=numbers)
    flow = Workflow("map", [watched.item, watched.after])
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider))
        for _ in range(60):
            await engine.run(flow, {"items": []})
        untaken = trace.set_span_in_context(NonRecordingSpan(SpanContext(7, 8, False, TraceFlags(0))))
        token = context.attach(untaken)
        try:
            await engine.run(flow, {"items": []})
        finally:
            context.detach(token)
    taken = {
        number
        for number in numbers.made
        if sampler.should_sample(None, number, "").decision is Decision.RECORD_AND_SAMPLE
    }
    assert len(numbers.made) == 60
    assert 0 < len(taken) < 60
    found = {span.context.trace_id for span in exporter.get_finished_spans() if span.context is not None}
    inside = set() if isinstance(sampler, ParentBased) else {7}  # a plain ratio goes by the trace's id alone
    assert found == taken | inside


async def test_a_processor_that_comes_later_sees_what_begins_from_then_on() -> None:
    exporter = InMemorySpanExporter()
    provider = provider_of(exporter)
    noticing = Noticing()
    traces = Setting(provider)
    flow = Workflow("map", [watched.item, watched.after])
    async with Engine("memory://") as engine:
        engine.observe(traces)
        await engine.run(flow, {"items": [1]})
        assert traces.made is SpansAfter
        provider.add_span_processor(noticing)
        await engine.run(flow, {"items": [1]})
        assert traces.made is SpansNow
    assert "attempt item" in noticing.begun


SET_LATER = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from laneway import Engine, Workflow, task
from laneway.observe.traces import Traces

@task
async def one() -> int:
    return 1

async def main() -> None:
    exporter = InMemorySpanExporter()
    async with Engine("memory://") as engine:
        engine.observe(Traces())
        await engine.run(Workflow("before", [one]), {})
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        await engine.run(Workflow("after", [one]), {})
    print(*(span.name for span in exporter.get_finished_spans()), sep=",")

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_provider_that_is_set_later_is_used(tmp_path: Path) -> None:
    script = tmp_path / "later.py"
    script.write_text(SET_LATER)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "lane loop,attempt one,commit,step one,run after\n"


async def test_by_the_time_a_run_is_over_its_spans_have_been_handed_on() -> None:
    exporter = InMemorySpanExporter()
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider_of(exporter)))
        for _ in range(3):
            exporter.clear()
            await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1, 2]})
            names = [span.name for span in exporter.get_finished_spans()]
            assert names.count("attempt item") == names.count("step item") == 2
            assert names[-1] == "run map"


@task
async def carried() -> dict[str, str]:
    return trace_context()


async def test_baggage_and_trace_state_are_carried_along() -> None:
    exporter = InMemorySpanExporter()
    outer = SpanContext(7, 8, True, TraceFlags(1), TraceState([("vendor", "x")]))
    inside = baggage.set_baggage("shop", "42", trace.set_span_in_context(NonRecordingSpan(outer)))
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider_of(exporter)))
        token = context.attach(inside)
        try:
            result = await engine.run(Workflow("carried", [carried]), {})
        finally:
            context.detach(token)
    found = result.context["carried"]
    assert found["tracestate"] == "vendor=x"
    assert found["baggage"] == "shop=42"
    assert found["traceparent"].startswith(f"00-{7:032x}-")
    (run,) = [span for span in exporter.get_finished_spans() if span.name == "run carried"]
    assert run.parent is not None
    assert run.parent.span_id == 8
    assert run.context is not None
    assert run.context.trace_state == outer.trace_state


class OwnHeader(TextMapPropagator):
    """A propagator that does not write W3C's header."""

    @property
    def fields(self) -> set[str]:
        """What it writes."""
        return {"x-own"}

    def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
        """Write it."""
        found = trace.get_current_span(context).get_span_context()
        setter.set(carrier, "x-own", f"{found.trace_id}.{found.span_id}")

    def extract(self, carrier: Any, context: Any = None, getter: Any = default_getter) -> Any:
        """Never asked for here."""
        raise NotImplementedError


async def test_a_programs_own_propagator_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", OwnHeader())
    exporter = InMemorySpanExporter()
    traces = Setting(provider_of(exporter))
    async with Engine("memory://") as engine:
        engine.observe(traces)
        await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]})
    assert traces.made is SpansNow
    assert "run map" in {span.name for span in exporter.get_finished_spans()}


async def test_a_run_that_is_refused_leaves_a_span_that_says_so() -> None:
    exporter = InMemorySpanExporter()
    traces = Traces(provider_of(exporter))
    flow = Workflow("map", [watched.item, watched.after])
    async with Engine("memory://") as engine:
        engine.observe(traces)
        await engine.run(flow, {"items": []}, key="same")
        await engine.run(flow, {"items": []}, key="same")
    runs = [span for span in exporter.get_finished_spans() if span.name == "run map"]
    assert [(span.attributes or {})["laneway.status"] for span in runs] == ["succeeded", "not begun"]
