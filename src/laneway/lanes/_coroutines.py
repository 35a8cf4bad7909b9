"""An event loop that a thread keeps, so that no coroutine pays for a new one. Standard library only."""

import asyncio
from contextvars import Context

from laneway._core.untyped import Any, Callable, Coroutine

__all__ = ["KeptLoop"]


class KeptLoop:
    """Runs coroutines one after another on one event loop that belongs to one thread."""

    __slots__ = ("_loop", "running")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.running: asyncio.Task[Any] | None = None
        """What `cancel` takes. Read by other threads."""

    def run[T](
        self,
        coroutine: Coroutine[Any, Any, T],
        context: Context | None = None,
        *,
        is_asked: Callable[[], bool] | None = None,
    ) -> T:
        """Run `coroutine` to its end; leftover tasks are cancelled, as `asyncio.run` does.

        Args:
            coroutine: what to run.
            context: its context variables.
            is_asked: whether it was to stop before there was anything to cancel.
        """
        loop = self._loop
        task = loop.create_task(coroutine, context=context)
        self.running = task
        try:
            if (
                is_asked is not None and is_asked()
            ):  # whoever asks says so first and looks for the task then: one of the two is seen
                task.cancel()
            return loop.run_until_complete(task)
        finally:
            self.running = None
            left = asyncio.all_tasks(loop)
            if left:
                for one in left:
                    one.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def cancel(self, task: asyncio.Task[Any] | None) -> None:
        """Ask what was `running` to end: that and nothing that runs after it. From any thread.

        The loop wakes in any case: an exception that was raised in its thread only arrives when it does something.
        """
        try:
            self._loop.call_soon_threadsafe(_nothing if task is None else task.cancel)
        except RuntimeError:  # the loop was closed meanwhile: there is nothing left to cancel
            return

    def close(self) -> None:
        """Give the loop's descriptors back."""
        if not self._loop.is_running():
            self._loop.close()


def _nothing() -> None:
    """What a loop does that is only to wake."""
