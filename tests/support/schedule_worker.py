"""A program that schedules: one engine of several on one store, to be killed and frozen. Prints `ready`."""

import asyncio
import sys
from datetime import timedelta

from laneway import Engine, Scheduler, Workflow, task


@task
async def note(due: str) -> str:
    return due


flow = Workflow("note", [note])


async def main(url: str, milliseconds: int) -> None:
    async with Engine(url, lease=1.0, grace=1.0) as engine, Scheduler(engine, lease=0.4) as scheduler:
        await scheduler.add(
            "tick",
            flow,
            {"due": "{due}"},
            every=timedelta(milliseconds=milliseconds),
            misfire="all",
            misfire_limit=100_000,
        )
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
