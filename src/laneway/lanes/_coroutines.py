"""An event loop that a thread keeps, so that no coroutine pays for a new one. Standard library only."""

import asyncio
from contextvars import Context

from laneway._core.untyped import Any, Coroutine

__all__ = ["KeptLoop"]


class KeptLoop:
    """Runs coroutines one after another on one event loop that belongs to one thread."""

    __slots__ = ("_loop", "_task")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Any] | None = None

    def run[T](self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> T:
        """Run `coroutine` to its end; leftover tasks are cancelled, as `asyncio.run` does."""
        loop = self._loop
        task = loop.create_task(coroutine, context=context)
        self._task = task
        try:
            return loop.run_until_complete(task)
        finally:
            self._task = None
            left = asyncio.all_tasks(loop)
            if left:
                for one in left:
                    one.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def cancel(self) -> None:
        """Ask the running coroutine to end. From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the loop was closed meanwhile: there is nothing left to cancel
            return

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Give the loop's descriptors back."""
        if not self._loop.is_running():
            self._loop.close()
