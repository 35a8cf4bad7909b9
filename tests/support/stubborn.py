"""Tasks that do not end well on lanes of their own."""

import os
import time

from laneway import task

__all__ = ["exits_in_interpreter", "exits_in_process", "sleeps_in_interpreter", "sleeps_in_process"]


@task(lane="interpreter", timeout=0.2)
def sleeps_in_interpreter() -> None:
    time.sleep(60)


@task(lane="process", timeout=0.2)
def sleeps_in_process() -> None:
    time.sleep(60)


@task(lane="interpreter")
def exits_in_interpreter() -> None:
    os._exit(3)


@task(lane="process")
def exits_in_process() -> None:
    os._exit(3)
