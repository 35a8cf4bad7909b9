"""Prometheus metrics of one engine, counted from what it commits. No global registry, no run ids."""

import asyncio
import platform
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock, Thread
from time import time
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from laneway import __version__
from laneway._core.events import EventRow
from laneway._core.records import StepRow, Transition
from laneway.observe._distributions import ROWS, SECONDS, SECONDS_LONG, Distribution
from laneway.observe._schedule_figures import ScheduleFigures
from laneway.observe._tables import METRICS, Metric
from laneway.ports import LaneHealth, LiveRun, Observer, Outcome, StepOrder

__all__ = ["METRICS", "EngineMetrics", "LiveFigures", "Metric", "exposition", "serve"]

_STATUS = {
    "step_succeeded": "succeeded",
    "step_failed": "failed",
    "step_skipped": "skipped",
    "step_cancelled": "cancelled",
    "step_retrying": "failed",
}
"""What an event says of the attempt that ended with it."""
_WAIT_SECONDS = 2.0
_MOST_NOTED = 500


class LiveFigures(NamedTuple):
    """What can only be seen now: taken from the engine when somebody asks."""

    runs: int
    attempts: int
    lanes: Sequence[LaneHealth]
    pools: Mapping[str, Mapping[str, float]] = {}
    """Per pool `capacity`, `used` and so on: the ends of its metrics' names."""


class EngineMetrics(Observer, Collector):
    """Counts as an observer of an engine, and shows the counts as a Prometheus collector.

    Counters move when a change is durable, so failures, retries, cancellation and takeover leave them right: over
    all engines of a store their sums are what the store's history says. Gauges are looked up when somebody asks.

    Args:
        live: gives what can only be seen now, on the engine's loop; None while the engine is closed.
        schedules: what the engine's scheduler did.
    """

    ordinary_attempts = False

    def __init__(
        self, live: Callable[[], LiveFigures | None], schedules: ScheduleFigures | None = None
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._live = live
        self._schedules = schedules
        self._loop: asyncio.AbstractEventLoop | None = None
        self._counts: dict[tuple[str, ...], int] = {}
        """By metric name and label values."""
        self._happened: dict[tuple[str, str, bool], int] = {}
        """Events by kind, lane, and whether an attempt came to its end with it: several metrics at once."""
        self._noted: deque[tuple[str, str, float, float, float, str | None]] = deque()
        """Changes that are not counted yet: kind, lane, seconds of the attempt (or -1), the commit and the lag, end."""
        self._lock = Lock()
        """Held to count what was noted: by the loop, and by whoever asks."""
        self._durations: dict[str, Distribution] = {}
        self._runs: dict[str, Distribution] = {}
        self._began: dict[str, float] = {}
        self._lag = Distribution(SECONDS)
        self._sizes: dict[int, int] = {}
        """How many changes had how many rows and events."""
        self._commits = Distribution(SECONDS)
        self._restarts: dict[str, tuple[int, int]] = {}
        self._last: LiveFigures | None = None
        self.registry.register(self)

    # ---- counting

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called when the engine opens."""
        self._loop = loop

    def detach(self) -> None:
        """Called when the engine closes: what is live then is nothing."""
        self._loop = self._last = None
        self._began.clear()

    def _count(self, *key: str) -> None:
        self._counts[key] = self._counts.get(key, 0) + 1

    def run_started(self, run: LiveRun, *, taken_over: bool) -> None:
        """Count the run."""
        name = "laneway_runs_taken_up_total" if taken_over else "laneway_runs_started_total"
        self._count(name, run.plan.workflow.name)
        self._began[run.text_id] = time()

    def committed(self, run: LiveRun, transition: Transition, seconds: float) -> None:
        """Count what became durable."""
        steps, events, end = transition.steps, transition.events, transition.end
        size = len(steps) + len(events)
        # Nearly always one step, one event of it, and perhaps the run's end: noted, and counted with others.
        if (
            len(steps) == 1
            and (size == 2 or (size == 3 and events[1].task is None))
            and (event := events[0]).task == (row := steps[0]).task
            and row.error is None
            and not row.stopped_by
        ):
            duration = row.duration if row.started and row.attempt else -1.0
            ends = None if size == 2 else events[1].kind
            self._noted.append((event.kind, row.lane, duration, seconds, time() - event.at, ends))
            if len(self._noted) >= _MOST_NOTED:
                self._count_noted()
        else:
            with self._lock:
                self._commits.add(seconds)
                self._sizes[size] = self._sizes.get(size, 0) + 1
                self._several(steps, events)
        if end is not None:
            self._count("laneway_runs_finished_total", run.plan.workflow.name, end.status)
            self._ended(run)

    def _count_noted(self) -> None:
        """Count what was noted: many at once take a fraction of the time that they take one by one."""
        happened, sizes, take = self._happened, self._sizes, self._noted.popleft
        with self._lock:
            noted = [take() for _ in range(len(self._noted))]
            if not noted:
                return
            kinds, lanes, durations, seconds, lags, ends = zip(*noted, strict=True)
            self._commits.add_all(seconds)
            self._lag.add_all(lags if min(lags) >= 0.0 else [max(lag, 0.0) for lag in lags])
            attempted = [duration >= 0.0 for duration in durations]
            for (kind, lane, was_attempted), count in Counter(
                zip(kinds, lanes, attempted, strict=True)
            ).items():
                key = (kind, lane or "none", was_attempted)
                happened[key] = happened.get(key, 0) + count
            for lane in set(lanes):
                found = [
                    one for one, where in zip(durations, lanes, strict=True) if where == lane and one >= 0.0
                ]
                if found:
                    self._duration(lane or "none").add_all(found)
            alone = ends.count(None)
            for size, count in ((2, alone), (3, len(ends) - alone)):
                if count:
                    sizes[size] = sizes.get(size, 0) + count
            for end, count in Counter(ends).items():
                if end is not None:
                    key = (end, "none", False)
                    happened[key] = happened.get(key, 0) + count

    def committed_aside(self, transition: Transition) -> None:
        """Count what became durable without this engine driving the run."""
        with self._lock:
            self._several(transition.steps, transition.events)

    def _several(self, steps: Sequence[StepRow], events: Sequence[EventRow]) -> None:
        rows: dict[tuple[str | None, int], StepRow] = {(row.task, row.item): row for row in steps}
        happened = self._happened
        if events:
            self._lag.add(max(time() - events[0].at, 0.0))
        for event in events:
            row = rows.get((event.task, event.item))
            if event.task is None or row is None:
                lane, attempted = "none", False
            else:
                lane = row.lane or "none"
                attempted = row.started != 0.0 and row.attempt != 0
                if event.kind == "step_retrying" and row.status != "waiting":
                    pass  # written together with a later attempt: the row tells of that one
                elif attempted:
                    self._attempt(row, lane)
            key = (event.kind, lane, attempted)
            happened[key] = happened.get(key, 0) + 1

    def _attempt(self, row: StepRow, lane: str) -> None:
        self._duration(lane).add(row.duration)
        if row.error is not None and row.status != "cancelled":
            self._count("laneway_failures_total", _kind(row.error))
        if row.stopped_by:
            self._count("laneway_stops_total", row.stopped_by)

    def _duration(self, lane: str) -> Distribution:
        durations = self._durations.get(lane)
        if durations is None:
            durations = self._durations[lane] = Distribution(SECONDS)
        return durations

    def _ended(self, run: LiveRun) -> None:
        began = self._began.pop(run.text_id, None)
        if began is None:
            return
        name = run.plan.workflow.name
        runs = self._runs.get(name)
        if runs is None:
            runs = self._runs[name] = Distribution(SECONDS_LONG)
        runs.add(max(time() - began, 0.0))

    def attempt_ended(self, run: LiveRun, order: StepOrder, outcome: Outcome) -> Outcome:
        """Count what a policy refused, also where the task went on without it."""
        if outcome.refusals:
            key = "laneway_policy_refusals_total", outcome.lane
            self._counts[key] = self._counts.get(key, 0) + len(outcome.refusals)
        return outcome

    def run_left(self, run: LiveRun) -> None:
        """Count the run if it is left unfinished."""
        self._began.pop(run.text_id, None)
        if run.status in ("interrupted", "abandoned"):
            self._count("laneway_runs_left_total", run.status)

    def crowded(self, *, refused: bool) -> None:
        """Count the wait, or the refusal."""
        self._count(f"laneway_backpressure_{'refusals' if refused else 'waits'}_total")

    # ---- showing

    def describe(self) -> Iterable[Any]:
        """Nothing: families are known when they are collected."""
        return ()

    def collect(self) -> Iterable[Any]:
        """All families with their samples. From any thread."""
        self._count_noted()
        families: dict[str, Any] = {}
        for key, count in sorted(self._counted().items()):
            self._family(families, key[0]).add_metric(key[1:], count)
        for name in ("laneway_backpressure_waits_total", "laneway_backpressure_refusals_total"):
            if name not in families:
                self._family(families, name).add_metric((), 0)
        self._family(families, "laneway_store_commits_total").add_metric((), sum(self._commits.counts))
        self._family(families, "laneway_build_info").add_metric((__version__, platform.python_version()), 1)
        for name, labelled in (
            (
                "laneway_attempt_duration_seconds",
                {(lane,): one for lane, one in self._durations.copy().items()},
            ),
            ("laneway_run_duration_seconds", {(flow,): one for flow, one in self._runs.copy().items()}),
            ("laneway_event_lag_seconds", {(): self._lag}),
            ("laneway_store_commit_rows", {(): self._rows()}),
            ("laneway_store_commit_duration_seconds", {(): self._commits}),
        ):
            for labels, one in labelled.items():
                self._family(families, name).add_metric(
                    list(labels), buckets=one.buckets(), sum_value=one.total
                )
        self._collect_live(families, self._live_now())
        if self._schedules is not None and self._schedules.leads is not None:
            self._collect_schedules(families, self._schedules)
        return families.values()

    def _collect_schedules(self, families: dict[str, Any], found: ScheduleFigures) -> None:
        self._family(families, "laneway_schedule_leads").add_metric((), int(found.leads or False))
        self._family(families, "laneway_schedule_running").add_metric((), len(found.running))
        self._family(families, "laneway_schedule_missed_total").add_metric((), found.missed)
        firings = self._family(families, "laneway_schedule_firings_total")
        for status, number in sorted(found.ended.copy().items()):
            firings.add_metric((status,), number)
        self._family(families, "laneway_schedule_lateness_seconds").add_metric(
            (), buckets=found.lateness.buckets(), sum_value=found.lateness.total
        )

    def _rows(self) -> Distribution:
        rows = Distribution(ROWS)
        for size, number in self._sizes.copy().items():
            rows.counts[bisect_left(ROWS, size)] += number
            rows.total += size * number
        return rows

    def _counted(self) -> dict[tuple[str, ...], int]:
        counts = self._counts.copy()

        def count(number: int, *key: str) -> None:
            counts[key] = counts.get(key, 0) + number

        for (kind, lane, attempted), number in self._happened.copy().items():
            count(number, "laneway_events_total", kind)
            status = _STATUS.get(kind)
            if status is None:
                continue
            if kind == "step_retrying":
                count(number, "laneway_retries_total", lane)
            else:
                count(number, "laneway_steps_total", lane, status)
            if attempted:
                count(number, "laneway_attempts_total", lane, status)
        return counts

    def _family(self, families: dict[str, Any], name: str) -> Any:
        family = families.get(name)
        if family is None:
            known = METRICS[name]
            make = {
                "counter": CounterMetricFamily,
                "gauge": GaugeMetricFamily,
                "histogram": HistogramMetricFamily,
            }[known.type]
            family = families[name] = make(name, known.help, labels=known.labels)
        return family

    def _collect_live(self, families: dict[str, Any], live: LiveFigures | None) -> None:
        self._family(families, "laneway_runs_live").add_metric((), 0 if live is None else live.runs)
        self._family(families, "laneway_attempts_running").add_metric(
            (), 0 if live is None else live.attempts
        )
        for health in () if live is None else live.lanes:
            label = (health.lane,)
            self._family(families, "laneway_lane_queued").add_metric(label, health.queued)
            self._family(families, "laneway_lane_running").add_metric(label, health.running)
            self._family(families, "laneway_lane_workers").add_metric(label, len(health.workers))
            self._family(families, "laneway_lane_quarantined").add_metric(label, health.quarantined)
            total, before = self._restarts.get(health.lane, (0, 0))
            # A lane forgets the restarts of packages that were retired; a counter must not go back.
            total += max(health.restarts - before, 0)
            self._restarts[health.lane] = total, health.restarts
        for lane, (total, _) in self._restarts.copy().items():
            self._family(families, "laneway_lane_restarts_total").add_metric((lane,), total)
        pools: Mapping[str, Mapping[str, float]] = {} if live is None else live.pools
        for pool, figures in pools.items():
            for figure in ("capacity", "used", "holders", "waiting", "longest_wait_seconds", "granted_total"):
                self._family(families, f"laneway_pool_{figure}").add_metric((pool,), figures.get(figure, 0))

    def _live_now(self) -> LiveFigures | None:
        """What is live; asked on the engine's loop, because lanes change under any other thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return None
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            return self._live()
        asked: Future[LiveFigures | None] = Future()

        def answer() -> None:
            try:
                asked.set_result(self._live())
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                asked.set_exception(error)

        try:
            loop.call_soon_threadsafe(answer)
            self._last = asked.result(_WAIT_SECONDS)
        except RuntimeError:  # the loop was closed meanwhile
            return None
        except TimeoutError:  # a task blocks the loop: the figures from before are better than none
            return self._last
        return self._last


class _Kind(msgspec.Struct):
    kind: str = "other"


_decode_kind = msgspec.json.Decoder(_Kind).decode


def _kind(error: bytes) -> str:
    return _decode_kind(error).kind


def exposition(registry: CollectorRegistry) -> bytes:
    """The metrics as text, for an endpoint of a program's own; its content type is `CONTENT_TYPE_LATEST`."""
    return generate_latest(registry)


def serve(registry: CollectorRegistry, *, port: int, address: str = "127.0.0.1") -> tuple[WSGIServer, Thread]:
    """Serve `/metrics` from a thread: `server.shutdown()` ends it. Port 0 takes a free one (`server.server_port`)."""
    return start_http_server(port, address, registry)
