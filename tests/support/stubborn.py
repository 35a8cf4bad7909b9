"""Tasks that do not end well on lanes of their own."""

import os

from laneway import task

__all__ = ["counts_in_interpreter", "counts_in_process", "exits_in_interpreter", "exits_in_process"]


@task(lane="interpreter", timeout=0.2)
def counts_in_interpreter() -> None:
    sum(range(1 << 60))  # in C: unlike a sleep, no signal wakes it


@task(lane="process", timeout=0.2)
def counts_in_process() -> None:
    sum(range(1 << 60))  # in C: unlike a sleep, no signal wakes it


@task(lane="interpreter")
def exits_in_interpreter() -> None:
    os._exit(3)


@task(lane="process")
def exits_in_process() -> None:
    os._exit(3)
