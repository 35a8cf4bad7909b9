"""Which keywords a task factory of somebody else's takes, so that it is not handed what it would refuse."""

import asyncio
import inspect
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextvars import Context
from typing import Any

type AnyFactory = Callable[..., Any]

_EAGER_CODE = asyncio.eager_task_factory.__code__  # every factory of create_eager_task_factory shares it
_CONSTRUCTOR = "custom_task_constructor"
_TAKES_METADATA: weakref.WeakKeyDictionary[AnyFactory, bool] = weakref.WeakKeyDictionary()

_LOOPS: weakref.WeakKeyDictionary[type[AbstractEventLoop], bool] = weakref.WeakKeyDictionary()


def names_keyword(factory: AnyFactory, keyword: str) -> bool:
    """Whether the factory has a parameter of this very name."""
    constructor = _eager_constructor(factory)
    if constructor is not None and keyword not in ("eager_start", "loop"):
        return names_keyword(constructor, keyword)
    parameter = _parameters(factory).get(keyword)
    return parameter is not None and parameter.kind in (
        parameter.KEYWORD_ONLY,
        parameter.POSITIONAL_OR_KEYWORD,
    )


def takes_keyword(factory: AnyFactory, keyword: str) -> bool:
    """Whether the factory has a parameter of this name, or takes any keyword."""
    constructor = _eager_constructor(factory)
    if constructor is not None and keyword not in ("eager_start", "loop"):
        return takes_keyword(constructor, keyword)
    return names_keyword(factory, keyword) or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(factory).values()
    )


def takes_metadata(factory: AnyFactory | None) -> bool:
    """`takes_keyword(factory, "metadata")`, remembered for as long as the factory lives."""
    if factory is None:
        return False
    try:
        known = _TAKES_METADATA.get(factory)
    except TypeError:  # neither hashable nor weakly referable: look each time
        return takes_keyword(factory, "metadata")
    if known is None:
        known = _TAKES_METADATA.setdefault(factory, takes_keyword(factory, "metadata"))
    return known


def loop_takes_metadata(loop: AbstractEventLoop) -> bool:
    """Whether `loop.create_task` passes metadata on to a factory: asyncio's does, uvloop's does not."""
    kind = type(loop)
    known = _LOOPS.get(kind)
    if known is None:
        known = _LOOPS.setdefault(kind, takes_keyword(kind.create_task, "metadata"))
    return known


def _eager_constructor(factory: AnyFactory) -> AnyFactory | None:
    """The task class behind a factory that `asyncio.create_eager_task_factory` made."""
    if getattr(factory, "__code__", None) is not _EAGER_CODE:
        return None
    constructor: AnyFactory | None = inspect.getclosurevars(factory).nonlocals.get(_CONSTRUCTOR)
    return constructor


def _parameters(factory: AnyFactory) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except TypeError, ValueError:  # a callable without a signature: nothing is known about it
        return {}


def given_keywords(
    name: str | None, context: Context | None, eager_start: bool | None, others: dict[str, Any]
) -> dict[str, Any]:
    """The keywords that a caller gave, and no others: a factory may not know the ones it did not."""
    keywords = others
    if name is not None:
        keywords["name"] = name
    if context is not None:
        keywords["context"] = context
    if eager_start is not None:
        keywords["eager_start"] = eager_start
    return keywords
