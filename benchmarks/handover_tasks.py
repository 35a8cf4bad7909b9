"""What `handover.py` runs: an echo and a count of primes."""

import os
import time
from typing import Any

from laneway import task


@task
def echo(data: Any) -> Any:
    return data


@task
async def aecho(data: Any) -> Any:
    return data


def pid(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def raw(data: bytes) -> bytes:
    return data


@task
def primes(limit: int) -> int:
    count = 0
    for number in range(2, limit):
        divisor = 2
        while divisor * divisor <= number:
            if number % divisor == 0:
                break
            divisor += 1
        else:
            count += 1
    return count


@task(lane="interpreter")
def one(number: int) -> int:
    return number + 1


@task(lane="interpreter")
def two(one: int) -> int:
    return one + 1


@task(lane="interpreter")
def three(two: int) -> int:
    return two + 1


@task(id="one")
async def one_here(number: int) -> int:
    return number + 1


@task(id="two")
async def two_here(one: int) -> int:
    return one + 1


@task(id="three")
async def three_here(two: int) -> int:
    return two + 1


@task(id="three", lane="interpreter")
def all_three(number: int) -> int:
    return three(two(one(number)))
