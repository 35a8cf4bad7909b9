"""Which Python values JSON can hold, checked exactly: `check` names the culprit by its path. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from laneway._core.errors import JsonInvalid
from laneway._core.untyped import Any

__all__ = ["MAX_DEPTH", "check", "has_wide_integer", "same"]

MAX_DEPTH = 500
"""Levels of nesting allowed; deeper values break encoders and readers elsewhere."""

_MAX_BITS = 14_000
"""About 4,200 digits: just under what Python itself is willing to turn into text."""

_BAD, _GOOD, _WIDE = 0, 1, 3

_ADVICE = {
    "tuple": "Use list(...).",
    "set": "Use sorted(...) or list(...).",
    "frozenset": "Use sorted(...) or list(...).",
    "bytes": "Decode it, use base64 text, or make it an artifact: laneway.artifact(...).",
    "bytearray": "Decode it, use base64 text, or make it an artifact: laneway.artifact(...).",
    "datetime": "Use .isoformat().",
    "date": "Use .isoformat().",
    "time": "Use .isoformat().",
    "timedelta": "Use .total_seconds().",
    "Decimal": "Use str(...) or float(...).",
    "UUID": "Use str(...).",
    "Path": "Use str(...).",
    "PosixPath": "Use str(...).",
    "generator": "Use list(...).",
    "range": "Use list(...).",
    "dict_keys": "Use list(...).",
    "dict_values": "Use list(...).",
    "dict_items": "Use list(...).",
    "ndarray": "Use .tolist().",
}


def check(value: Any, root: str) -> None:
    """Return when JSON can hold `value` exactly as it is.

    Only exact `dict` (with `str` keys), `list`, `str` without lone surrogates, `int`, finite `float`, `bool` and
    `None` pass; subclasses would come back as something else.

    Args:
        value: anything.
        root: what to call it in the path, such as `result`.

    Raises:
        JsonInvalid: with the path of the first culprit, what it is and the way out.
    """
    if not _holds(value, 0):
        raise _culprit(value, root)


def has_wide_integer(value: Any, root: str) -> bool:
    """`check`, which also tells whether an integer inside needs more than 64 bits (some encoders cannot do those).

    Raises:
        JsonInvalid: as `check`.
    """
    held = _holds(value, 0)
    if not held:
        raise _culprit(value, root)
    return held == _WIDE


def _holds(value: Any, depth: int) -> int:
    kind: type[Any] = type(value)
    if kind is dict:
        if depth >= MAX_DEPTH:
            return _BAD
        for key in value:
            if type(key) is not str or not (key.isascii() or _is_text(key)):
                return _BAD
        children = value.values()
    elif kind is list:
        if depth >= MAX_DEPTH:
            return _BAD
        children = value
    else:
        return _leaf(value, kind)
    held = _GOOD
    for child in children:
        kind = type(child)
        if kind is str:
            if not (child.isascii() or _is_text(child)):
                return _BAD
        elif kind is int:
            if not -0x8000000000000000 <= child < 0x8000000000000000:
                if child.bit_length() > _MAX_BITS:
                    return _BAD
                held = _WIDE
        elif kind is dict or kind is list:
            if child:
                inner = _holds(child, depth + 1)
                if not inner:
                    return _BAD
                held |= inner
        elif kind is float:
            if child - child != 0.0:
                return _BAD
        elif kind is not bool and child is not None:
            return _BAD
    return held


def _leaf(value: Any, kind: type[Any]) -> int:
    if kind is str:
        return _GOOD if value.isascii() or _is_text(value) else _BAD
    if kind is int:
        bits = value.bit_length()
        return _GOOD if bits < 64 else _WIDE if bits <= _MAX_BITS else _BAD
    if kind is float:
        return _GOOD if value - value == 0.0 else _BAD
    return _GOOD if kind is bool or value is None else _BAD


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _culprit(value: Any, root: str) -> JsonInvalid:
    waiting: list[tuple[Any, str, int]] = [(value, root, 0)]
    while waiting:
        value, path, depth = waiting.pop()
        kind: type[Any] = type(value)
        if kind is dict or kind is list:
            if depth >= MAX_DEPTH:
                short = f"{root}…{path[-60:]}" if len(path) > 120 else path
                what = f"nested deeper than {MAX_DEPTH} levels or contains itself"
                return JsonInvalid(path=short, what=what, advice="Flatten it.")
            if kind is dict:
                for key in value:
                    if type(key) is not str:
                        return JsonInvalid(
                            path=path,
                            what=f"a dict with the key {_shown(key)} of type {type(key).__name__}",
                            advice="Use text keys: {str(key): value}.",
                        )
                    if not _is_text(key):
                        return JsonInvalid(
                            path=path,
                            what="a dict with a key that has lone surrogates",
                            advice="Encode the key with errors='replace' first.",
                        )
                children = [(child, _member(path, key), depth + 1) for key, child in value.items()]
            else:
                children = [(child, f"{path}[{index}]", depth + 1) for index, child in enumerate(value)]
            waiting.extend(reversed(children))
        elif not _leaf(value, kind):
            return JsonInvalid(path=path, what=_what(value, kind), advice=_advice(value, kind))
    return JsonInvalid(
        path=root,
        what="a value that changed while it was checked",
        advice="Do not change a result from another thread.",
    )


def _member(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may do anything; the type is named all the same
        return "?"
    return text if len(text) <= 60 else text[:57] + "..."


def _what(value: Any, kind: type[Any]) -> str:
    if kind is float:
        return f"{value!r} (not a finite number)"
    if kind is int:
        return f"an integer of {value.bit_length()} bits"
    if kind is str:
        return "text with lone surrogates"
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    for plain in (bool, int, float, str, list, dict):
        if issubclass(kind, plain):
            return f"{article} {kind.__name__} (a subclass of {plain.__name__})"
    return f"{article} {kind.__name__}"


def _advice(value: Any, kind: type[Any]) -> str:
    if kind is float:
        return "Use None for a missing number."
    if kind is int:
        return "Use str(...)."
    if kind is str:
        return "Encode it with errors='replace' first."
    for plain in (int, float, str, list, dict):
        if issubclass(kind, plain):
            return "Use its .value." if hasattr(value, "_value_") else f"Use {plain.__name__}(...)."
    known = _ADVICE.get(kind.__name__)
    if known is None:
        return "Return plain dicts, lists, text and numbers; put large binary data into an artifact."
    return known


def same(one: Any, other: Any) -> bool:
    """Strict JSON equality: 1, True and 1.0 are three values; the order of keys does not matter.

    `one` must have passed `check`; `other` may be anything, which is then another value.
    """
    kind: type[Any] = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        if len(one) != len(other):
            return False
        return all(key in other and same(value, other[key]) for key, value in one.items())
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other, strict=True))
    return bool(one == other)
