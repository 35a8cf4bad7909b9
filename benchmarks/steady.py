"""A steady load with retention, for as long as asked: memory, file and latency stay where they were.

    python -m benchmarks steady [--steps 200000] [--rate 500] [--retention 2] [--store URL] [--json]

Runs of three steps (event loop, thread, event loop) begin at a fixed rate, and the engine deletes them by itself
once they are `--retention` seconds old. Twenty times on the way are noted: resident memory, the sizes of the file and
of its write-ahead log, runs in the store, how long runs took from `start` to their result (median and 99th percentile)
and the processor time of a step, which other programs on the machine disturb less than latency. The last line
compares the second half with the first. If the machine cannot keep the rate, at most 200 runs are under way.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from laneway import Engine, Workflow, task

__all__ = ["Note", "flatness", "measured"]

NOTES = 20
AT_ONCE = 200
STEPS_PER_RUN = 3


@task
async def first(n: int) -> int:
    return n + 1


@task(lane="thread")
def second(first: int) -> int:
    return first * 2


@task
async def third(second: int) -> int:
    return second - 1


FLOW = Workflow("steady", [first, second, third])


class Note(NamedTuple):
    """How things stood after a twentieth of the steps."""

    steps: int
    resident_kb: int
    file_kb: int
    log_kb: int
    """The write-ahead log, which starts anew at its beginning every so often: it saws rather than being flat."""
    runs_kept: int
    median_ms: float
    p99_ms: float
    cpu_us_per_step: float


async def measured(store: str, *, steps: int, rate: float, retention: float) -> list[Note]:
    """Drive the load and take notes."""
    runs = steps // STEPS_PER_RUN
    notes: list[Note] = []
    taken: list[float] = []
    room = asyncio.Semaphore(AT_ONCE)
    async with Engine(store, retention=retention) as engine, asyncio.TaskGroup() as group:

        async def one(number: int) -> None:
            began = time.perf_counter()
            try:
                await engine.run(FLOW, {"n": number})
            finally:
                room.release()
            taken.append(time.perf_counter() - began)

        start, cpu = time.perf_counter(), time.process_time()
        for number in range(runs):
            ahead = number / rate - (time.perf_counter() - start)
            if ahead > 0:
                await asyncio.sleep(ahead)
            await room.acquire()
            group.create_task(one(number))
            if (
                taken and (number + 1) % max(1, runs // NOTES) == 0
            ):  # none are over where the machine just stood still
                used = time.process_time() - cpu
                notes.append(await _note(engine, (number + 1) * STEPS_PER_RUN, sorted(taken), used))
                taken.clear()
                cpu = time.process_time()
    return notes


async def _note(engine: Engine, steps: int, taken: list[float], cpu_seconds: float) -> Note:
    (sizes,) = await engine.store.read("sizes")
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Note(
        steps,
        pages * os.sysconf("SC_PAGESIZE") // 1024,
        sizes.get("file_bytes", 0) // 1024,
        sizes.get("wal_bytes", 0) // 1024,
        sizes["runs"],
        1000 * statistics.median(taken),
        1000 * taken[int(len(taken) * 0.99)],
        1e6 * cpu_seconds / (STEPS_PER_RUN * len(taken)),
    )


def flatness(notes: list[Note]) -> dict[str, float]:
    """The second half over the first, without the first quarter, in which the store fills up: 1.0 is flat.

    Of latency and processor time the quietest note of each half is taken: the others tell what else the machine did.
    """
    early, late = notes[len(notes) // 4 : len(notes) // 2], notes[len(notes) // 2 :]
    return {
        "resident": statistics.median(one.resident_kb for one in late)
        / statistics.median(one.resident_kb for one in early),
        "file": max(one.file_kb for one in late) / max(one.file_kb for one in early),
        "latency": min(one.median_ms for one in late) / min(one.median_ms for one in early),
        "cpu": min(one.cpu_us_per_step for one in late) / min(one.cpu_us_per_step for one in early),
    }


def main() -> None:
    """Run it and print the notes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=500.0, help="runs a second")
    parser.add_argument("--retention", type=float, default=2.0, help="seconds")
    parser.add_argument("--store", default="", help="by default a SQLite file in a throw-away folder")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="laneway-steady-") as folder:
        store = told.store or f"sqlite:///{folder}/steady.db"
        began = time.perf_counter()
        notes = asyncio.run(measured(store, steps=told.steps, rate=told.rate, retention=told.retention))
        seconds = time.perf_counter() - began
    found: dict[str, Any] = {"seconds": seconds, "notes": [one._asdict() for one in notes], **flatness(notes)}
    if told.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    sys.stdout.write("   steps  resident MB  file MB  log MB  runs kept  median ms  p99 ms  CPU µs/step\n")
    for one in notes:
        sys.stdout.write(
            f"{one.steps:8,}  {one.resident_kb / 1024:11.1f}  {one.file_kb / 1024:7.1f}  {one.log_kb / 1024:6.1f}"
            f"  {one.runs_kept:9,}"
            f"  {one.median_ms:9.2f}  {one.p99_ms:6.1f}  {one.cpu_us_per_step:11.0f}\n"
        )
    ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in flatness(notes).items())
    sys.stdout.write(f"{notes[-1].steps:,} steps in {seconds:.0f} s; late over early: {ratios}\n")


if __name__ == "__main__":
    main()
