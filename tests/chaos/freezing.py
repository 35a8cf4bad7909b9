"""A program with one run whose step waits at a gate; the lease tests freeze it, kill it and wake it."""

import asyncio
import os
import sys

from laneway import Engine, LanewayError, Workflow, task

__all__ = ["FLOW"]


@task
async def before(log: str) -> int:
    leave(log, "before")
    return 1


@task
async def gated(log: str, gate: str, before: int) -> str:
    leave(log, "gated")
    reader, writer = await asyncio.open_unix_connection(gate)
    try:
        writer.write(f"{os.getpid()}\n".encode())
        await reader.readline()
    finally:
        writer.close()
    return f"by {os.getpid()}"


@task
async def after(log: str, gated: str) -> str:
    leave(log, "after")
    return gated


def leave(log: str, line: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line} {os.getpid()}\n".encode())
    os.close(file)


FLOW = Workflow("gated", [before, gated, after])


async def main(store: str, log: str, gate: str, lease: float) -> None:
    async with Engine(store, lease=lease, grace=0) as engine:
        handle = await engine.start(FLOW, {"log": log, "gate": gate}, key="the run")
        try:
            result = await handle.result()
        except LanewayError as error:
            print(type(error).__name__, error)
            fresh = await engine.run(Workflow("fresh", [before]), {"log": log})
            print("fresh", fresh.status)
        else:
            print(result.status, result.context["after"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
