"""One run over all lanes, watched in every way at once: everything tells the same story."""

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import watched
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from laneway import Engine, Workflow, aio
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


async def test_logs_trace_metrics_events_and_history_agree(lines: Any, tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    url = f"sqlite:///{tmp_path}/laneway.db"
    engine = Engine(url, workers=2, audit=str(tmp_path / "audit"))
    registry = engine.metrics
    engine.observe(Traces(provider))
    async with engine:

        async def order() -> Any:
            handle = await engine.start(watched.EVERYWHERE, {"numbers": [1, 2]})
            events = [event async for event in handle.events()]
            return await handle.result(), events

        result, events = await aio.create_task(order(), metadata={"correlation_id": "order-42"})
        history = await engine.events(run=result.id)
        steps = {
            (sample.labels["lane"], sample.labels["status"]): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "laneway_steps_total"
        }
        reading = subprocess.run(
            [sys.executable, "-c", READER, url, result.id],
            capture_output=True,
            text=True,
            timeout=40,
            check=True,
        )
    # one trace
    spans = exporter.get_finished_spans()
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    # one correlation id in every line
    assert {line["correlation_id"] for line in lines()} == {"order-42"}
    assert {line["lane"] for line in lines() if "lane" in line} == {
        "loop",
        "thread",
        "interpreter",
        "process",
    }
    # the event list equals the store's history, here and in another process
    assert events == history
    assert json.loads(reading.stdout) == [[event.seq, event.kind, event.task] for event in history]
    # metrics match
    told = Counter(event.kind for event in history)
    assert sum(steps.values()) == told["step_succeeded"] == len(result.steps)
    assert steps == Counter((step.lane or "none", step.status) for step in result.steps)
    # spans match
    attempts = sum(len(step.attempts) for step in result.steps)
    assert sum(1 for span in spans if span.name.startswith("attempt ")) == attempts
    # and the audit log says who began it
    assert verify(tmp_path / "audit").is_intact
    told_by = [(one["what"], one.get("run")) for one in entries(tmp_path / "audit")]
    assert ("run_started", result.id) in told_by
    assert told_by[-1][0] == "engine_closed"


async def test_a_watcher_that_leaves_and_comes_back_misses_nothing(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/laneway.db") as engine:
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


async def test_another_process_can_follow_a_live_run_by_cursor(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as engine:
        flow = Workflow("map", [watched.item, watched.after])
        handle = await engine.start(flow, {"items": list(range(20))})
        await handle.result()
        history = await engine.events(run=handle.id)
        import asyncio

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
