"""What watching costs: the engine's own workloads, plain and with everything on, in one run.

    python -m benchmarks.observability [--json] [--rounds N] [--processes N]

A plain engine and one that is watched take turns, so that other load on the machine meets both alike. Figures
are medians of time over the plain engine's time in the same round: 1.10 is 10 % slower. The first is by the clock, the
second by the processor time of the whole process, which other programs disturb less; the aim is missed if both say so.
Where a process has its memory and when it collects garbage moves the ratio by a tenth for as long as it lives: the
median over several processes counts.

watched    metrics, JSON log lines at level info into a file, audit log, prints, `laneway ps`
sampled    the same, and OpenTelemetry with a sampler that takes one run of a hundred
traced     the same, and spans for everything, to an exporter that drops them

Behind `traced` stands how many spans that makes, and what the plain engine's time would be with as many spans made by
OpenTelemetry's SDK alone (`start_span`, three attributes, `end`): the floor for whoever uses its API.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from benchmarks.workflows import CHAIN, FAN, START
from laneway import Engine
from laneway.observe import logs
from laneway.observe._lines import LogLines
from laneway.observe.traces import Traces

AIM = 1.15
CHAINS, WIDTH, AT_ONCE = 20, 500, 100
WATCHED = frozenset({"metrics", "logs", "audit", "prints"})
VARIANTS: dict[str, frozenset[str]] = {
    "watched": WATCHED,
    "sampled": WATCHED | {"sampled"},
    "traced": WATCHED | {"traced"},
}
EACH: dict[str, frozenset[str]] = {
    "nothing": frozenset(),
    **{part: frozenset({part}) for part in sorted(WATCHED | {"sampled", "traced"})},
}
AIMED = ("watched", "sampled")

type Workload = Callable[[Engine], Awaitable[None]]


class Nowhere(SpanExporter):
    """Takes spans as a collector that is infinitely fast would."""

    def __init__(self) -> None:
        self.taken = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


async def chains(engine: Engine) -> None:
    for _ in range(CHAINS):
        await engine.run(CHAIN, START)


async def fan_out(engine: Engine) -> None:
    await engine.run(FAN, {"count": WIDTH})


async def many_runs(engine: Engine) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(engine.run(CHAIN, START))


WORKLOADS: dict[str, Workload] = {"chain": chains, "fan-out": fan_out, "many runs": many_runs}


class Tracing:
    """A provider whose spans are counted, and the same number of spans made without us."""

    def __init__(self, ratio: float) -> None:
        self.exporter = Nowhere()
        self.provider = TracerProvider(sampler=ParentBasedTraceIdRatio(ratio))
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter, max_queue_size=100_000))

    def counted(self) -> int:
        """Spans since the last call."""
        self.provider.force_flush()
        taken, self.exporter.taken = self.exporter.taken, 0
        return taken

    def bare(self, spans: int) -> tuple[float, float]:
        """Seconds by the clock, and of the processor, for making so many spans with the SDK alone."""
        tracer = self.provider.get_tracer("bare")
        inside = trace.set_span_in_context(tracer.start_span("run"))
        begun, used = time.perf_counter(), time.process_time()
        for number in range(spans):
            about: dict[str, str | int] = {"lane": "loop", "worker": "", "attempt": number}
            tracer.start_span("attempt", inside, attributes=about).end()
        took = time.perf_counter() - begun, time.process_time() - used
        self.counted()
        return took


async def engine_of(
    variant: str,
    parts: frozenset[str],
    store: str,
    folder: Path,
    stack: AsyncExitStack,
    tracing: Tracing | None,
) -> Engine:
    engine = Engine(
        store, audit=str(folder / f"{variant}.audit") if "audit" in parts else None, capture="prints" in parts
    )
    if "metrics" in parts:
        _ = engine.metrics  # counts from here on
    if "logs" in parts:
        engine.observe(LogLines())
    if tracing is not None and parts & {"sampled", "traced"}:
        engine.observe(Traces(tracing.provider))
    return await stack.enter_async_context(engine)


async def compare(kind: str, variant: str, parts: frozenset[str], rounds: int) -> list[dict[str, Any]]:
    """A plain and a watched engine take turns; what either does in the background meets both alike."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with AsyncExitStack() as stack:
            pair: dict[str, Engine] = {}
            tracing = Tracing(0.01 if "sampled" in parts else 1.0)
            stack.callback(tracing.provider.shutdown)
            for name, has in (("plain", frozenset[str]()), ("watched", parts)):
                store = "memory://" if kind == "memory" else f"sqlite:///{folder}/{name}.db"
                pair[name] = await engine_of(name, has, store, folder, stack, tracing)
            stream = stack.enter_context((folder / "lines.log").open("w", encoding="utf-8"))
            setup = logs.configure("info", lines="json", redact=["password", "token"], stream=stream)
            stack.callback(setup.remove)
            for name, work in WORKLOADS.items():
                took: dict[str, list[tuple[float, float]]] = {"plain": [], "watched": []}
                bare: list[tuple[float, float]] = []
                spans = 0
                for turn in range(rounds + 1):
                    for one in ("plain", "watched") if turn % 2 else ("watched", "plain"):
                        begun, used = time.perf_counter(), time.process_time()
                        await work(pair[one])
                        if turn:  # the first warms up
                            took[one].append((time.perf_counter() - begun, time.process_time() - used))
                    if "traced" in parts:
                        spans = tracing.counted()
                        bare += [tracing.bare(spans)] if turn else []
                rows.append(row(f"{kind} {name}", variant, took["watched"], took["plain"]))
                rows[-1]["aim"] = AIM if variant in AIMED and kind == "sqlite" else None
                if bare:
                    with_bare = [
                        (one[0] + more[0], one[1] + more[1])
                        for one, more in zip(took["plain"], bare, strict=True)
                    ]
                    floor = row("", "", with_bare, took["plain"])
                    rows[-1] |= {
                        "spans": spans,
                        "floor": floor["ratio"],
                        "floor_us_a_span": round(statistics.median(one[0] for one in bare) / spans * 1e6, 1),
                    }
    return rows


def row(
    workload: str, variant: str, took: list[tuple[float, float]], plain: list[tuple[float, float]]
) -> dict[str, Any]:
    """One comparison, round by round."""
    pairs = list(zip(took, plain, strict=True))
    return {
        "workload": workload,
        "variant": variant,
        "ratio": round(statistics.median(one[0] / other[0] for one, other in pairs), 3),
        "cpu_ratio": round(statistics.median(one[1] / other[1] for one, other in pairs), 3),
        "plain_ms": round(statistics.median(one[0] for one in plain) * 1000, 2),
    }


async def measure(kind: str, variants: dict[str, frozenset[str]], rounds: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for variant, parts in variants.items():
        rows += await compare(kind, variant, parts, rounds)
    return rows


def over_processes(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The same in fresh processes, one after the other: of each figure the median."""
    command = [sys.executable, "-m", "benchmarks.observability", "--json", "--processes", "1"]
    command += ["--rounds", str(arguments.rounds), "--stores", arguments.stores]
    command += ["--each"] if arguments.each else []
    found: list[list[dict[str, Any]]] = []
    for _ in range(arguments.processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if not done.stdout:
            sys.exit(done.returncode)
        found.append(json.loads(done.stdout))
    rows: list[dict[str, Any]] = []
    for same in zip(*found, strict=True):
        first = same[0]
        figures = {
            name: round(statistics.median(one[name] for one in same), 3)
            for name, value in first.items()
            if isinstance(value, float) and name != "aim"
        }
        rows.append({**first, **figures, "ratios": sorted(one["ratio"] for one in same)})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="What watching an engine costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=20, help="paired rounds per workload and process")
    parser.add_argument("--processes", type=int, default=5, help="how many, one after the other")
    parser.add_argument("--stores", default="sqlite,memory", help="which, separated by commas")
    parser.add_argument("--each", action="store_true", help="each part by itself")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.processes > 1:
        rows = over_processes(arguments)
    else:
        for kind in arguments.stores.split(","):
            rows += asyncio.run(measure(kind, EACH if arguments.each else VARIANTS, arguments.rounds))
    missed = [one for one in rows if one["aim"] and min(one["ratio"], one["cpu_ratio"]) > one["aim"]]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        for one in rows:
            text = f"{one['workload']:20} {one['variant']:12} {one['ratio']:6.3f} {one['cpu_ratio']:6.3f}"
            text += f"  {one['plain_ms']:8.2f} ms {'aim ' + str(one['aim']) if one['aim'] else ''}"
            if "floor" in one:
                text += f"{one['spans']} spans; floor {one['floor']}, {one['floor_us_a_span']} µs a span"
            print(text)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
