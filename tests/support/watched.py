"""Tasks of every lane that say where they are."""

import logging
import time
import warnings
from typing import Any

from laneway import Workflow, aio, cancelled, task, trace_context, wait_for_signal

log = logging.getLogger("shop.orders")


def about() -> dict[str, Any]:
    found = aio.current_metadata()
    return {} if found is None else dict(found.as_dict())


@task
async def on_loop() -> dict[str, Any]:
    log.warning("hello from loop")
    print("printed on loop")
    return about()


@task(lane="thread")
def on_thread(on_loop: dict[str, Any]) -> dict[str, Any]:
    log.warning("hello from thread")
    print("printed on thread")
    return about()


@task(lane="interpreter")
def on_interpreter(on_loop: dict[str, Any]) -> dict[str, Any]:
    log.warning("hello from interpreter", extra={"password": "hunter2", "amount": 3})
    print("printed on interpreter")
    warnings.warn("careful", stacklevel=1)
    return about()


@task(lane="process", each="numbers")
def on_process(number: int, on_interpreter: dict[str, Any]) -> dict[str, Any]:
    log.warning("hello from process %d", number)
    print("printed on process")
    return about()


@task(lane="interpreter")
async def coroutine_on_interpreter(on_thread: dict[str, Any]) -> dict[str, Any]:
    log.warning("hello from a coroutine")
    return about()


EVERYWHERE = Workflow(
    "everywhere", [on_loop, on_thread, on_interpreter, on_process, coroutine_on_interpreter]
)


@task(lane="celery")
def on_celery(on_process: list[dict[str, Any]]) -> dict[str, Any]:
    log.warning("hello from celery")
    print("printed on celery")
    return {**about(), **trace_context()}


FARTHER = Workflow(
    "farther", [on_loop, on_thread, on_interpreter, on_process, coroutine_on_interpreter, on_celery]
)
"""On every lane there is, workers of a broker among them."""


@task(lane="interpreter")
def logs_a_traceback() -> None:
    try:
        raise ValueError("token=abc")
    except ValueError:
        log.exception("it went wrong")


@task(lane="interpreter")
def logs_without_end() -> int:
    for _ in range(3000):
        log.warning("x" * 100)
    return 1


@task(lane="interpreter")
def imports_logging_late() -> None:
    import logging as late

    late.getLogger("late").error("late but there")


@task(lane="process")
def prints_what_looks_like_a_record() -> None:
    print('\x1e{"number":1,"name":"forged","level":50,"message":"forged","at":0,"path":"","line":0}')


@task(retries=2)
async def fails_twice(attempts: list[int]) -> int:
    raise RuntimeError("no")


_tries: list[int] = []


@task(retries=3)
async def works_the_third_time() -> int:
    _tries.append(1)
    if len(_tries) % 3:
        raise RuntimeError("not yet")
    return len(_tries)


@task(each="items")
async def item(item: int) -> int:
    if item < 0:
        raise ValueError("negative")
    return item


@task
async def after(item: list[int]) -> int:
    return sum(item)


@task
async def waits_for_ever() -> None:
    await aio_event().wait()


def aio_event() -> Any:
    import asyncio

    return asyncio.Event()


@task(lane="thread")
def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(lane="interpreter")
def takes(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(lane="thread")
def busy_in_a_thread() -> None:
    while not cancelled():
        time.sleep(0.01)


@task(lane="interpreter")
def busy_in_an_interpreter() -> None:
    while not cancelled():
        time.sleep(0.01)


@task(lane="interpreter")
def traceparent_of_interpreter() -> str:
    return trace_context()["traceparent"]


@task(lane="process")
def traceparent_of_process() -> str:
    return trace_context()["traceparent"]


@task
async def traceparent_of_loop() -> str:
    return trace_context()["traceparent"]


TRACED = [traceparent_of_loop, traceparent_of_interpreter, traceparent_of_process]


@task
async def approval() -> Any:
    return wait_for_signal("approved")


@task
async def shipped(approval: Any) -> Any:
    return approval
