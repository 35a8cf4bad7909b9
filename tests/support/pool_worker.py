"""A program that holds a shared pool until it is killed. Prints `held`."""

import asyncio
import sys

from laneway import Engine, SharedPool


async def main(url: str) -> None:
    pool = SharedPool("licences", slots=2)
    async with Engine(url, pools=[pool]), pool.hold():
        print("held", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
