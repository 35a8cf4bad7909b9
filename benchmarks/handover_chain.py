"""What fusing could save: a chain of three tiny steps with hand-overs, without any, and as one step.

Run: python -m benchmarks.handover_chain [--json] [--rounds 9]. Counts the processor's time of the program and of its
workers, which a busy machine does not change much; rounds alternate, and the least counts. On one core and without
anything else to do this is the time that a run takes, but for what the disk needs.

The difference between `interpreter` and `loop` is what three hand-overs cost: no way of sharing them could gain more,
as long as each step still commits by itself.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import handover_tasks as tasks
from laneway import Engine, Workflow

RUNS = 200
FLOWS = {
    "loop": Workflow("here", [tasks.one_here, tasks.two_here, tasks.three_here]),
    "interpreter": Workflow("there", [tasks.one, tasks.two, tasks.three]),
    "one step": Workflow("fused", [tasks.all_three]),
}


def processor_ns(engine: Engine) -> int:
    """What the program and its workers used so far, all threads."""
    pids = {os.getpid(), *(worker["pid"] for worker in engine.fleet.health("interpreter").workers)}
    threads = (thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


async def one_after_another(engine: Engine, flow: Workflow) -> float:
    """Microseconds per run."""
    begun = processor_ns(engine)
    for _ in range(RUNS):
        result = await engine.run(flow, {"number": 1})
        assert result.context["three"] == 4
    return (processor_ns(engine) - begun) / RUNS / 1000


async def at_once(engine: Engine, flow: Workflow) -> float:
    """Microseconds per run, all runs together."""
    begun = processor_ns(engine)
    async with asyncio.TaskGroup() as group:
        for _ in range(RUNS):
            group.create_task(engine.run(flow, {"number": 1}))
    return (processor_ns(engine) - begun) / RUNS / 1000


type Found = dict[str, dict[str, float]]


async def compare(rounds: int) -> Found:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            "memory": ("memory://", "commit"),
            "exit": (f"sqlite:///{Path(folder, 'exit.db')}", "exit"),
            "commit": (f"sqlite:///{Path(folder, 'commit.db')}", "commit"),
            "fsync": (f"sqlite:///{Path(folder, 'fsync.db')}", "fsync"),
        }
        for name, (url, durability) in stores.items():
            spent: dict[str, dict[str, list[float]]] = {
                way: {flow: [] for flow in FLOWS} for way in ("one after another", "at once")
            }
            options: dict[str, Any] = {"durability": durability}
            async with Engine(url, workers=1, **options) as engine:
                for flow in FLOWS.values():
                    await at_once(engine, flow)
                for _ in range(rounds):
                    for label, flow in FLOWS.items():
                        spent["one after another"][label].append(await one_after_another(engine, flow))
                        spent["at once"][label].append(await at_once(engine, flow))
            for way, flows in spent.items():
                found[f"{name}, {way}"] = {label: round(min(times), 1) for label, times in flows.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    found = asyncio.run(compare(options.rounds))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{'processor µs per run of 3 steps':34}{'loop':>10}{'interpreter':>14}{'one step':>10}{'hand-overs':>12}"
    )
    for name, row in found.items():
        share = 1 - row["loop"] / row["interpreter"]
        print(f"{name:34}{row['loop']:>10}{row['interpreter']:>14}{row['one step']:>10}{share:>11.0%}")


if __name__ == "__main__":
    main()
