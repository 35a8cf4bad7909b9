"""One life of a program whose runs make artifacts, and that a test may end at a named point."""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from laneway import Artifact, Engine, Workflow, artifact, task
from laneway.stores.sqlite import SqliteStore
from laneway.testing.crash_points import CrashPoints


@task(lane="thread")
def parts(name: str) -> list[Artifact]:
    return [artifact(b"common"), *(artifact(f"{name} {one}".encode() * 5000) for one in range(2))]


@task(lane="thread", each="parts")
def shouted(parts: Artifact) -> Artifact:
    return artifact(parts.read().upper())


@task(lane="process")
def joined(shouted: list[Artifact]) -> dict[str, Any]:
    return {
        "whole": artifact(b"".join(one.read() for one in shouted)),
        "sizes": [one.size for one in shouted],
    }


FLOW = Workflow("made", [parts, shouted, joined])


async def main(options: argparse.Namespace) -> None:
    points = CrashPoints(options.point, options.number) if options.point else None
    engine = Engine(options.store, grace=0, workers=1)
    if points is not None and options.store.startswith("sqlite"):
        engine.store = SqliteStore(options.store.removeprefix("sqlite:///"), hook=points)
    async with engine:
        if points is not None:
            engine.listen(lambda _: points("told"))
            book: Any = engine.artifacts._book
            keep = book.keep

            async def kept(*arguments: Any) -> Any:
                answer = await keep(*arguments)
                points("kept")
                return answer

            book.keep = kept
        os.write(1, b"started\n")
        names = [f"run-{one}" for one in range(options.runs)]
        results = await asyncio.gather(*[engine.run(FLOW, {"name": one}, key=one) for one in names])
        contexts = {name: one.context for name, one in zip(names, results, strict=True)}
    sys.stdout.write(json.dumps(contexts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--point", default="")
    parser.add_argument("--number", type=int, default=1)
    asyncio.run(main(parser.parse_args()))
