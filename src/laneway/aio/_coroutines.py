"""Coroutines that are handed over: their type, and closing the ones that nobody will run."""

import inspect
from collections.abc import Coroutine
from typing import Any

type AnyCoroutine[T] = Coroutine[Any, Any, T]


def close_unstarted(coro: object) -> None:
    """Close a coroutine that was refused, so that no "never awaited" warning follows.

    One that has started is left alone: whoever runs it still does.
    """
    if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
        coro.close()
