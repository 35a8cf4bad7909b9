"""Waking at a moment of the wall clock, and when another process ends, without looking again and again."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from laneway import aio

__all__ = ["SystemClock", "first_of", "watch_process"]

_LONGEST = 60.0
"""Seconds of one sleep where the system cannot tell that its clock was set."""


class SystemClock:
    """Clock port on the system's wall clock."""

    def now(self) -> datetime:
        """Aware time in UTC."""
        return datetime.now(UTC)

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep_until(self, moment: float) -> None:
        """Wait until the epoch second `moment`, or until the system's clock was set.

        On Linux a timer of the kernel counts by the wall clock, sleeps through the machine's own sleep, and ends
        early when the clock is set; elsewhere the wait ends after a minute at the latest, for another look.
        """
        left = moment - time.time()
        if left <= 0:
            return
        if not hasattr(os, "timerfd_create"):
            await asyncio.sleep(min(left, _LONGEST))
            return
        timer = os.timerfd_create(time.CLOCK_REALTIME, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)
        try:
            flags = os.TFD_TIMER_ABSTIME | os.TFD_TIMER_CANCEL_ON_SET
            os.timerfd_settime_ns(timer, flags=flags, initial=int(moment * 1e9) + 1000)
            await _readable(timer)
        finally:
            os.close(timer)


async def watch_process(pid: int) -> None:
    """Wait until a process of this host has ended. Where the system cannot tell, wait for ever."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.get_running_loop().create_future()
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        await asyncio.get_running_loop().create_future()
        return
    try:
        await _readable(process)
    finally:
        os.close(process)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        loop.remove_reader(descriptor)
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, resolve)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def first_of(changed: asyncio.Event, *waits: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Wait until the event is set or one of the waits is over; the others are cancelled."""
    tasks = [aio.create_task(changed.wait(), name="schedule change")]
    tasks += [aio.create_task(one(), name="schedule alarm") for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.wait(tasks)
