"""One run over all lanes, watched in every way at once: everything tells the same story."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import watched
from brokers import RedisServer
from celery_workers import Worker
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from laneway import Engine, RunResult, Workflow, aio
from laneway.observe import _audit_trail
from laneway.observe.audit import AuditLog, entries, verify
from laneway.observe.traces import Traces

READER = """
import asyncio, json, sys
from uuid import uuid7
from laneway.registry import store_from
from laneway.stores._processes import here

async def main():
    store = store_from(sys.argv[1], durability="commit")
    await store.open(here(str(uuid7())))
    cursor, found = 0, []
    while True:  # two at a time: a reader that comes back again and again with its cursor
        answers = await store.read("events", run=sys.argv[2], after=cursor, limit=2)
        if not answers:
            break
        found += [[one["event"].seq, one["event"].kind, one["event"].task] for one in answers]
        cursor = answers[-1]["event"].seq
    await store.close()
    print(json.dumps(found))

asyncio.run(main())
"""


class Watching:
    """One run of a workflow, watched in every way there is."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        self.url = url
        self.audit = folder / "audit"
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.engine = Engine(url, workers=2, audit=str(self.audit), **settings)
        self.registry = self.engine.metrics
        self.engine.observe(Traces(provider))

    async def run(self, flow: Workflow) -> RunResult:
        """Run it as part of order 42, and remember what can only be seen while the engine is open."""
        async with self.engine as engine:

            async def order() -> Any:
                handle = await engine.start(flow, {"numbers": [1, 2]})
                events = [event async for event in handle.events()]
                return await handle.result(), events

            result, self.events = await aio.create_task(order(), metadata={"correlation_id": "order-42"})
            self.history = await engine.events(run=result.id)
            self.steps = {
                (sample.labels["lane"], sample.labels["status"]): sample.value
                for family in self.registry.collect()
                for sample in family.samples
                if sample.name == "laneway_steps_total"
            }
            reading = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", READER, self.url, result.id],
                capture_output=True,
                text=True,
                timeout=40,
                check=True,
            )
            self.read_elsewhere = json.loads(reading.stdout)
        assert isinstance(result, RunResult)
        return result

    def check(self, result: RunResult, lines: list[dict[str, Any]], lanes: set[str]) -> None:
        """Everything tells the same story."""
        # one trace
        spans = self.exporter.get_finished_spans()
        assert len({span.context.trace_id for span in spans if span.context}) == 1
        ran = {
            str(span.attributes["laneway.lane"])
            for span in spans
            if span.name.startswith("lane ")
            if span.attributes
        }
        assert ran == lanes
        # one correlation id in every line
        assert {line["correlation_id"] for line in lines} == {"order-42"}
        assert {line["lane"] for line in lines if "lane" in line} == lanes
        # the event list equals the store's history, here and in another process
        assert self.events == self.history
        assert self.read_elsewhere == [[event.seq, event.kind, event.task] for event in self.history]
        # metrics match
        told = Counter(event.kind for event in self.history)
        assert sum(self.steps.values()) == told["step_succeeded"] == len(result.steps)
        assert self.steps == Counter((step.lane or "none", step.status) for step in result.steps)
        # spans match
        attempts = sum(len(step.attempts) for step in result.steps)
        assert sum(1 for span in spans if span.name.startswith("attempt ")) == attempts
        # and the audit log says who began it
        assert verify(self.audit).is_intact
        told_by = [(one["what"], one.get("run")) for one in entries(self.audit)]
        assert ("run_started", result.id) in told_by
        assert told_by[-1][0] == "engine_closed"


LANES = {"loop", "thread", "interpreter", "process"}


async def test_logs_trace_metrics_events_and_history_agree(lines: Any, tmp_path: Path, url: str) -> None:
    watching = Watching(url, tmp_path)
    result = await watching.run(watched.EVERYWHERE)
    watching.check(result, lines(), LANES)


@pytest.mark.redis
async def test_they_agree_where_workers_of_a_broker_have_a_part(lines: Any, tmp_path: Path, url: str) -> None:
    broker = RedisServer()
    worker: Worker | None = None
    try:
        broker.start()
        worker = Worker(broker.url, tmp_path / "worker").ready()
        watching = Watching(url, tmp_path, broker=broker.url)
        result = await watching.run(watched.FARTHER)
        watching.check(result, lines(), {*LANES, "celery"})
        far = result.context["on_celery"]
        assert far["correlation_id"] == "order-42"
        (attempt,) = [
            one for one in watching.exporter.get_finished_spans() if one.name == "attempt on_celery"
        ]
        assert attempt.context is not None
        assert far["traceparent"].split("-")[1:3] == [
            f"{attempt.context.trace_id:032x}",
            f"{attempt.context.span_id:016x}",
        ]
        # what it printed comes back with the attempt; what it logged stands where the worker runs, and says whose it is
        assert "printed on celery" in [line["event"] for line in lines() if line.get("task") == "on_celery"]
        await asyncio.to_thread(worker.end)
        there = [json.loads(line) for line in worker.err.splitlines() if line.startswith("{")]
        (said,) = [line for line in there if line["event"] == "hello from celery"]
        about = {"run": result.id, "task": "on_celery", "lane": "celery", "correlation_id": "order-42"}
        assert about.items() <= said.items()
    finally:
        if worker is not None:
            worker.kill()
        broker.remove()


async def test_a_watcher_that_leaves_and_comes_back_misses_nothing(url: str) -> None:
    async with Engine(url) as engine:
        flow = Workflow("map", [watched.item, watched.after])
        handle = await engine.start(flow, {"items": list(range(40))})
        seen: list[Any] = []
        while not seen or not seen[-1].kind.startswith("run_succ"):
            async for event in handle.events(after=seen[-1].seq if seen else 0):
                seen.append(event)
                if len(seen) % 7 == 0:
                    break  # leaves, and comes back with the cursor
        assert seen == await engine.events(run=handle.id)
        assert len(seen) == 1 + 40 + 1 + 1 + 1


async def test_another_process_can_follow_a_live_run_by_cursor(url: str) -> None:
    async with Engine(url) as engine:
        flow = Workflow("map", [watched.item, watched.after])
        handle = await engine.start(flow, {"items": list(range(20))})
        await handle.result()
        history = await engine.events(run=handle.id)
        watching = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", READER, url, handle.id],
            capture_output=True,
            text=True,
            timeout=40,
            check=True,
        )
    assert json.loads(watching.stdout) == [[event.seq, event.kind, event.task] for event in history]


async def test_violations_cancellations_and_settings_are_audited(tmp_path: Path) -> None:
    folder = str(tmp_path / "audit")
    async with Engine("memory://", audit=folder, workers=1) as engine:
        handle = await engine.start(Workflow("waits", [watched.waits_for_ever]), {})
        await engine.cancel(handle.id)
    async with Engine("memory://", audit=folder, workers=2):
        pass
    found = list(entries(folder))
    what = [one["what"] for one in found]
    assert what.count("settings_changed") == 2
    assert found[[one["what"] for one in found].index("engine_closed") + 1]["settings"] == {
        "workers": {"from": 1, "to": 2}
    }
    assert what.index("cancel_asked") < what.index("run_cancelled")
    assert all({"user", "pid", "engine"} == one["who"].keys() for one in found)
    assert verify(folder).is_intact


def test_entries_wait_while_the_log_cannot_be_written_and_those_that_do_not_fit_are_counted(
    tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(_audit_trail, "_MOST_WAITING", 3)
    monkeypatch.setattr(_audit_trail, "_PAUSE_SECONDS", 0.01)
    full, tried = threading.Event(), threading.Event()
    append = AuditLog.append

    def failing(log: AuditLog, batch: Any) -> Any:
        tried.set()
        if not full.is_set():
            raise OSError(28, "No space left on device")
        return append(log, batch)

    monkeypatch.setattr(AuditLog, "append", failing)
    trail = _audit_trail.AuditTrail(tmp_path, engine="e")
    trail.note("policy_violation", number=0)
    assert tried.wait(10)
    for number in range(1, 6):
        trail.note("policy_violation", number=number)
    full.set()
    while trail._queue.qsize():
        threading.Event().wait(0.01)
    trail.note("policy_violation", number=6)
    trail.close()
    found = list(entries(tmp_path))
    assert [one.get("number") for one in found] == [0, 1, 2, 3, None, 6]
    assert found[4]["what"] == "entries_lost"
    assert found[4]["count"] == 2
    assert verify(tmp_path).is_intact
    assert "No space left on device" in caplog.text
