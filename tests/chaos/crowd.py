"""One of several programs on one store: starts its share of runs and waits for their ends."""

import asyncio
import sys

from laneway import Engine, Workflow, task

__all__ = ["FLOW"]


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
        for start in range(0, runs, 20):
            ended = await asyncio.gather(
                *[
                    engine.run(FLOW, {"n": number}, key=f"{name}-{number}")
                    for number in range(start, start + 20)
                ]
            )
            assert all(result.context["three"] == (result.context["n"] + 1) * 2 - 1 for result in ended)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[3], int(sys.argv[4])))
