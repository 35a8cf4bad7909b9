"""One of several programs on one store: starts its share of runs, waits for their ends and prints how far it is."""

import asyncio
import sys

from laneway import Engine, Workflow, task

__all__ = ["BATCH", "FLOW"]

BATCH = 20
"""So many runs are started together; a line is printed when they have ended."""


@task
async def one(n: int) -> int:
    await asyncio.sleep(0.001)
    return n + 1


@task
def two(one: int) -> int:
    return one * 2


@task
async def three(two: int) -> int:
    return two - 1


FLOW = Workflow("crowd", [one, two, three])


async def main(store: str, name: str, runs: int) -> None:
    async with Engine(store, lease=2.0) as engine:
        for start in range(0, runs, BATCH):
            ended = await asyncio.gather(
                *[
                    engine.run(FLOW, {"n": number}, key=f"{name}-{number}")
                    for number in range(start, start + BATCH)
                ]
            )
            assert all(result.context["three"] == (result.context["n"] + 1) * 2 - 1 for result in ended)
            print(start + BATCH, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
