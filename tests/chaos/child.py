"""One life of a program that the kill campaign ends: runs the whole workload, or goes on with it."""

import argparse
import asyncio
import json
import signal
import sys
import time
from typing import Any

from tests.chaos.workload import FLOWS, plan_of_runs

from laneway import Engine
from laneway.stores.sqlite import SqliteStore
from laneway.testing.crash_points import CrashPoints


class CrashingLane:
    """A lane that reaches a point after each outcome, before the engine sees it."""

    def __init__(self, lane: Any, points: CrashPoints) -> None:
        self._lane = lane
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    async def run(self, order: Any) -> Any:
        outcome = await self._lane.run(order)
        self._points("outcome")
        return outcome


async def main(options: argparse.Namespace) -> None:
    points = CrashPoints(options.point, options.number) if options.point else None
    engine = Engine(options.store, grace=0)
    if points is not None and options.store.startswith("sqlite"):
        engine.store = SqliteStore(
            options.store.removeprefix("sqlite:///"), durability=options.durability, hook=points
        )
    async with engine:
        if points is not None:
            for name in ("loop", "thread"):
                lane: Any = CrashingLane(engine.lanes[name], points)
                engine.lanes[name] = lane
            engine.listen(lambda _: points("told"))
        begun = time.perf_counter()
        if options.after:
            signal.setitimer(
                signal.ITIMER_REAL, options.after
            )  # nobody handles it: it ends the process as a kill does

        async def whole(key: str, flow: str, size: int) -> tuple[str, Any]:
            context = {"log": options.log, "name": key, "inner_name": f"{key}-inner", "size": size}
            handle = await engine.start(FLOWS[flow], context, key=key)
            if flow == "suspended":
                await handle.signal("answer", key)
            result = await handle.result(check=False)
            while result.status == "suspended":
                result = await handle.result(check=False)
            return key, {"status": result.status, "context": result.context}

        done = await asyncio.gather(*[whole(*one) for one in plan_of_runs(options.rounds)])
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - begun, "runs": dict(done)}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("log")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--point", default="")
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--durability", default="commit")
    asyncio.run(main(parser.parse_args()))
