"""Calling a task function: arguments from a payload, an outcome from what it returned. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import sys
from importlib import import_module

from laneway._core.artifacts import MARK
from laneway._core.errors import JsonInvalid
from laneway._core.failures import MissingKey
from laneway._core.jsonvalue import same
from laneway._core.model import TaskSpec
from laneway._core.untyped import Any, Callable
from laneway.authoring import condition_of
from laneway.nesting import Context
from laneway.suspension import Suspension

__all__ = ["Decode", "Encode", "arguments", "call", "call_async", "wanted"]

type Decode = Callable[[bytes], Any]
type Encode = Callable[[Any, str], bytes]
"""Turns a value into JSON; checks it first and raises JsonInvalid with the path from the given root."""


def call(
    spec: TaskSpec, function: Callable[..., Any], payload: bytes, decode: Decode, encode: Encode
) -> tuple[str, bytes]:
    """Run a function once: kind of outcome (`value`, `patch`, `skipped`) and body. Raises what the task raises."""
    values = decode(payload)
    if MARK in payload:
        values = _artifacts().with_handles(values)
    if spec.has_condition and not wanted(spec, function, values):
        return "skipped", b""
    given = arguments(spec, values)
    return _body(spec, given, function(**given), payload, decode, encode)


async def call_async(
    spec: TaskSpec, function: Callable[..., Any], payload: bytes, decode: Decode, encode: Encode
) -> tuple[str, bytes]:
    """`call` for a coroutine function."""
    values = decode(payload)
    if MARK in payload:
        values = _artifacts().with_handles(values)
    if spec.has_condition and not wanted(spec, function, values):
        return "skipped", b""
    given = arguments(spec, values)
    return _body(spec, given, await function(**given), payload, decode, encode)


def _artifacts() -> Any:
    # Few tasks have to do with artifacts: only those pay for what makes and reads them.
    return import_module("laneway.artifacts")


def _body(
    spec: TaskSpec,
    given: dict[str, Any],
    returned: Any,
    payload: bytes,
    decode: Decode,
    encode: Encode,
    *,
    is_plain: bool = False,
) -> tuple[str, bytes]:
    try:
        if type(returned) is Suspension:
            return "suspension", encode(returned.body, "suspension")
        if spec.style == "value":
            return "value", encode(returned, "result")
        return "patch", _patch(spec, given["context"], returned, decode(payload), encode)
    except JsonInvalid as refused:
        if not is_plain and "laneway.artifacts" in sys.modules:
            given, returned = _without_handles(given, returned)
            return _body(spec, given, returned, payload, decode, encode, is_plain=True)
        fields = refused.fields
        raise JsonInvalid(**{**fields, "path": f"task {spec.id!r}: {fields['path']}"}) from None


def _without_handles(given: dict[str, Any], returned: Any) -> tuple[dict[str, Any], Any]:
    """The same with references in the place of artifacts."""
    plain = _artifacts().plain
    context = given.get("context")
    given = plain(given)
    if type(returned) is Suspension:
        return given, Suspension(plain(returned.body))
    if not isinstance(returned, dict) and hasattr(returned, "keys"):
        returned = {key: returned[key] for key in returned.keys()}  # noqa: SIM118 - only keys() is promised
    return given, given["context"] if returned is context and context is not None else plain(returned)


def arguments(spec: TaskSpec, payload: dict[str, Any]) -> dict[str, Any]:
    """What to call the task with, by parameter name.

    Raises:
        MissingKey: a parameter without a default is not in the payload.
    """
    if spec.style == "context":
        return {"context": Context(payload)}
    return _bound(spec.id, spec.parameters, spec.optional, payload)


def _bound(
    task: str, names: tuple[str, ...], optional: tuple[str, ...], payload: dict[str, Any]
) -> dict[str, Any]:
    given = {}
    for name in names:
        if name in payload:
            given[name] = payload[name]
        elif name not in optional:
            raise MissingKey(
                f"task {task!r} needs {name!r}, which neither the context nor another task provides"
            )
    return given


def wanted(spec: TaskSpec, function: Callable[..., Any], payload: dict[str, Any]) -> bool:
    """Ask the task's `when=` predicate, if it has one, whether the task should run at all."""
    condition = condition_of(function)
    if condition is None:
        return True
    code: Any = getattr(condition, "__code__", None)
    if code is None:
        return bool(condition(payload))
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if names == ("context",):
        return bool(condition(Context(payload)))
    defaults = condition.__defaults__ or ()
    optional = names[code.co_argcount - len(defaults) : code.co_argcount] + tuple(
        condition.__kwdefaults__ or ()
    )
    return bool(condition(**_bound(f"{spec.id} (when=)", names, optional, payload)))


def _patch(
    spec: TaskSpec, context: dict[str, Any], returned: Any, before: dict[str, Any], encode: Encode
) -> bytes:
    root = "result"
    removed = b"[]"
    if returned is None or returned is context:
        root, returned = "context", context
        gone = sorted(key for key in before if key not in context and not (key == "item" and spec.each))
        if gone:
            removed = encode(gone, root)
    else:
        if not isinstance(returned, dict):
            if not (hasattr(returned, "keys") and hasattr(returned, "__getitem__")):
                raise TypeError(
                    f"task {spec.id!r} returned {type(returned).__name__}: a task that takes `context` returns "
                    "a mapping, or None after changing the context"
                )
            returned = {key: returned[key] for key in returned.keys()}  # noqa: SIM118 - only keys() is promised
    # What is the same as before is something that JSON holds; only what changed needs to be checked, once.
    changed = {
        key: value for key, value in returned.items() if key not in before or not same(before[key], value)
    }
    if spec.each is not None:
        changed.pop("item", None)
    return b'{"set":' + encode(changed, root) + b',"removed":' + removed + b"}"
