"""Traces: one for each run, over all lanes and over a takeover, as a collector gets them."""

import asyncio
import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import watched
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from laneway import Engine, Workflow, aio
from laneway.observe.traces import Traces


def provider_of(exporter: Any) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def by_id(spans: tuple[ReadableSpan, ...]) -> dict[int, ReadableSpan]:
    return {span.context.span_id: span for span in spans if span.context is not None}


def kind(span: ReadableSpan) -> str:
    return span.name.partition(" ")[0]


async def test_a_run_over_all_lanes_is_one_trace_of_run_step_attempt_lane_and_commit() -> None:
    exporter = InMemorySpanExporter()
    async with Engine("memory://", workers=2) as engine:
        engine.observe(Traces(provider_of(exporter)))
        result = await engine.run(watched.EVERYWHERE, {"numbers": [1, 2]})
    spans = exporter.get_finished_spans()
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    known = by_id(spans)
    parents = Counter(
        (kind(span), "" if span.parent is None else kind(known[span.parent.span_id])) for span in spans
    )
    assert parents[("run", "")] == 1
    assert parents[("step", "run")] == parents[("attempt", "step")] == parents[("lane", "attempt")] == 6
    assert parents[("commit", "run")] >= 6
    assert set(parents) == {
        ("run", ""),
        ("step", "run"),
        ("attempt", "step"),
        ("lane", "attempt"),
        ("commit", "run"),
    }
    lanes = {
        str(span.attributes["laneway.lane"]) for span in spans if kind(span) == "lane" and span.attributes
    }
    assert lanes == {"loop", "thread", "interpreter", "process"}
    (run,) = [span for span in spans if kind(span) == "run"]
    assert run.attributes is not None
    assert run.attributes["laneway.run"] == result.id
    assert run.status.status_code is StatusCode.OK
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


async def test_the_attempts_context_is_where_the_task_runs() -> None:
    exporter = InMemorySpanExporter()
    async with Engine("memory://", workers=1) as engine:
        engine.observe(Traces(provider_of(exporter)))
        flow = Workflow("where", watched.TRACED)
        result = await engine.run(flow, {})
    attempts = {
        span.name.partition(" ")[2]: span for span in exporter.get_finished_spans() if kind(span) == "attempt"
    }
    for name, traceparent in result.context.items():
        context = attempts[name].context
        assert context is not None
        assert traceparent.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


async def test_a_run_started_inside_a_span_is_its_child() -> None:
    exporter = InMemorySpanExporter()
    provider = provider_of(exporter)
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider))
        with provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
            await engine.run(Workflow("map", [watched.item, watched.after]), {"items": [1]})
    (run,) = [span for span in exporter.get_finished_spans() if kind(span) == "run"]
    assert run.parent is not None
    assert run.parent.span_id == checkout.get_span_context().span_id


async def test_failures_retries_and_cancellation_show_on_their_spans() -> None:
    exporter = InMemorySpanExporter()
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider_of(exporter)))
        await engine.run(Workflow("fails", [watched.fails_twice]), {"attempts": []}, check=False)
        handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
        while not (driver := engine.live(handle.id)) or not driver.running:
            await asyncio.sleep(0)
        await handle.cancel()
    spans = exporter.get_finished_spans()
    attempts = [span for span in spans if span.name == "attempt fails_twice"]
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR] * 3
    assert attempts[0].events[0].name == "exception"
    assert attempts[0].events[0].attributes is not None
    assert attempts[0].events[0].attributes["exception.type"] == "RuntimeError"
    assert len([span for span in spans if span.name == "step fails_twice"]) == 1
    (stopped,) = [span for span in spans if span.name == "attempt waits_for_ever"]
    assert stopped.status.description == "stopped"
    (run,) = [span for span in spans if span.name == "run waits"]
    assert run.status.description == "cancelled"


async def test_a_run_that_another_engine_takes_up_stays_in_its_trace(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = provider_of(exporter)
    url = f"sqlite:///{tmp_path}/laneway.db"
    flow = Workflow("nap", [watched.sleeps])
    async with Engine(url, grace=0) as engine:
        engine.observe(Traces(provider))
        handle = await engine.start(flow, {"seconds": 0.05})
    async with Engine(url) as engine:
        engine.observe(Traces(provider))
        await (await engine.resume(handle.id, flow)).result()
    first, second = [span for span in exporter.get_finished_spans() if span.name == "run nap"]
    assert first.context is not None
    assert second.context is not None
    assert second.parent is not None
    assert second.parent.span_id == first.context.span_id
    assert len({span.context.trace_id for span in exporter.get_finished_spans() if span.context}) == 1


async def test_runs_that_the_sampler_leaves_out_make_no_spans_and_carry_no_context() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with Engine("memory://") as engine:
        engine.observe(Traces(provider))
        result = await engine.run(watched.EVERYWHERE, {"numbers": []})
    assert result.status == "succeeded"
    assert not exporter.get_finished_spans()


async def test_a_repeated_key_leaves_no_open_span() -> None:
    exporter = InMemorySpanExporter()
    traces = Traces(provider_of(exporter))
    async with Engine("memory://") as engine:
        engine.observe(traces)
        for _ in range(2):
            await engine.run(Workflow("map", [watched.item, watched.after]), {"items": []}, key="k")
    assert not traces._asked
    assert not traces._runs


class Collector(ThreadingHTTPServer):
    """Takes what OTLP exporters send, as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.requests: list[ExportTraceServiceRequest] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        assert isinstance(self.server, Collector)
        self.server.requests.append(request)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_collector_gets_the_trace_over_otlp(collector: Collector) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{collector.server_address[1]}/v1/traces")
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider.add_span_processor(BatchSpanProcessor(exporter))

    async def order(engine: Engine) -> Any:
        return await engine.run(watched.EVERYWHERE, {"numbers": [1]})

    async with Engine("memory://", workers=1) as engine:
        engine.observe(Traces(provider))
        result = await aio.create_task(order(engine), metadata={"correlation_id": "order-42"})
    await asyncio.to_thread(provider.shutdown)
    spans = [
        span
        for request in collector.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert len({span.trace_id for span in spans}) == 1
    (run,) = [span for span in spans if span.name == "run everywhere"]
    about = {one.key: one.value.string_value for one in run.attributes}
    assert about["laneway.run"] == result.id
    assert about["laneway.correlation_id"] == "order-42"
    names = {span.name for span in spans}
    assert {"attempt on_process", "lane interpreter", "lane process", "step on_loop", "commit"} <= names
