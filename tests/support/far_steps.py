"""A workflow whose steps run on workers elsewhere, and leave marks that tests can count."""

import logging
import os
import time
from pathlib import Path

from laneway import Workflow, task

__all__ = ["described", "marked"]


def mark(folder: str, name: str) -> None:
    """Leave a file that says who ran what."""
    Path(folder, f"{name}-{os.getpid()}-{time.monotonic_ns()}").touch()


@task
def numbers(count: int) -> list[int]:
    """What to work on."""
    return list(range(count))


@task(lane="celery", each="numbers")
def step(item: int, folder: str, seconds: float, gate: str = "") -> int:
    """Work until the time is over and, where there is a gate, until its file is there."""
    mark(folder, f"begun-{item}")
    end = time.monotonic() + seconds
    while time.monotonic() < end or (gate and not os.path.exists(gate)):
        time.sleep(0.02)
    mark(folder, f"done-{item}")
    return item * item


@task
def total(step: list[int]) -> int:
    """All of it."""
    return sum(step)


marked = Workflow("marked", [numbers, step, total])


@task(lane="celery")
def waits(text: str) -> dict[str, str]:
    """Say something, and where."""
    print("printed", text)
    logging.getLogger("far").info("logged %s", text)
    return {"queue": "io", "pid": str(os.getpid())}


@task(lane="celery", cpu=True)
def computes(waits: dict[str, str]) -> dict[str, str]:
    """The same for CPU work."""
    logging.getLogger("far").info("computed after %s", waits["queue"])
    return {"queue": "cpu", "pid": str(os.getpid())}


described = Workflow("described", [waits, computes])
