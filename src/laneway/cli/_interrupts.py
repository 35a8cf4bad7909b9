"""Ctrl-C and termination: the first asks the run to stop, the second ends the program at once."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from laneway import aio
from laneway.cli._display import show_cursor
from laneway.cli._errors import CANCELLED

__all__ = ["Interrupts"]

_SIGNALS = [
    one for one in (signal.SIGINT, getattr(signal, "SIGTERM", None), getattr(signal, "SIGHUP", None)) if one
]
_SAME_SECONDS = 0.1
"""Two signals within this time are one key press: a parent may pass on what the terminal sent to everybody."""


class Interrupts:
    """Within the block signals set `asked` instead of raising KeyboardInterrupt anywhere in the program."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._before: dict[int, Any] = {}
        self._first = 0.0
        self._last_words: list[Callable[[], None]] = []
        self.handled = False
        """True once the command itself looks at `asked`; until then `unless_asked` cancels what it waits for."""

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._seen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    async def unless_asked[T](self, work: Coroutine[Any, Any, T], *, within: bool = False) -> T | None:
        """What the work gives; None if it was asked to stop before that, or before the work set `handled`.

        Args:
            work: what to wait for.
            within: True for a part of work that has set `handled` already.
        """
        working = aio.create_task(work, name="command")
        asked = aio.create_task(self.asked.wait(), name="interrupt")
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not working.done() and (within or not self.handled):
            working.cancel()
            with suppress(asyncio.CancelledError):
                return await working
            return None
        return await working

    def at_once(self, action: Callable[[], None]) -> None:
        """What to do before the program ends at a second signal; must be quick."""
        self._last_words.append(action)

    def _seen(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._first:
            self._first = now
            self._loop.call_soon_threadsafe(self.asked.set)
        elif now - self._first > _SAME_SECONDS:
            show_cursor()
            for action in self._last_words:
                action()
            os._exit(CANCELLED)
