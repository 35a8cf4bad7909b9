"""The context a step sees: the initial one plus its ancestors' patches, merged in topological order.

Values stay encoded: a context here is a mapping from key to the JSON bytes of its value. No step can reach another
step's objects, and large values are never decoded on the way.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from laneway._core.errors import ContextConflict

__all__ = [
    "MERGES",
    "Patch",
    "decode_object",
    "encode_object",
    "join_object",
    "merged",
    "resolve",
    "same_json",
]

type Patch = Mapping[str, bytes | None]
"""Key to encoded value; None marks a key that was removed."""

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


def decode_object(data: bytes) -> dict[str, bytes]:
    """Split a JSON object into its keys and their encoded values, without decoding those."""
    return {key: bytes(value) for key, value in _raw_object.decode(data).items()}


def decode_list(data: bytes) -> list[bytes]:
    """Split a JSON list into its encoded items.

    Raises:
        msgspec.ValidationError: it is not a list.
    """
    return [bytes(value) for value in _raw_list.decode(data)]


def encode_object(value: Mapping[str, Any]) -> bytes:
    """Encode an object that was checked before. Integers of any size are kept."""
    try:
        return msgspec.json.encode(value)
    except OverflowError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def join_object(values: Mapping[str, bytes | None]) -> bytes:
    """The JSON object made of encoded values; removed keys are left out."""
    encode = msgspec.json.encode
    return (
        b"{" + b",".join([encode(key) + b":" + raw for key, raw in values.items() if raw is not None]) + b"}"
    )


def same_json(left: bytes | None, right: bytes | None) -> bool:
    """Equal as JSON: the order of keys does not count; 1, 1.0 and true are three different values."""
    if left == right:
        return True
    if left is None or right is None:
        return False
    return _canonical(left) == _canonical(right)


def _canonical(data: bytes) -> str:
    return json.dumps(json.loads(data), sort_keys=True)


def resolve(
    key: str,
    setters: Iterable[int],
    patches: Sequence[Patch | None],
    ancestors: Sequence[int],
    names: Sequence[str],
    merges: Mapping[str, str],
) -> tuple[bool, bytes | None]:
    """What `key` is after those setters: (was it set, its encoded value or None if removed).

    `setters` are task indices in topological order. Only the latest count: a setter that comes before another one is
    overruled by it.

    Raises:
        ContextConflict: two of the latest setters have no order between them and set different values.
    """
    having = [index for index in setters if (patch := patches[index]) is not None and key in patch]
    if not having:
        return False, None
    if len(having) == 1:
        return True, patches[having[0]][key]  # type: ignore[index]  # `having` holds only indices with a patch
    overruled = 0
    for index in having:
        overruled |= ancestors[index]
    latest = [index for index in having if not overruled >> index & 1]
    values: list[bytes | None] = [(patches[index] or {})[key] for index in latest]
    if len(values) > 1:
        rule = merges.get(key)
        if rule is not None:
            return True, combine(rule, [value for value in values if value is not None])
        for other, value in zip(latest[1:], values[1:], strict=True):
            if not same_json(values[0], value):
                raise ContextConflict(first=names[latest[0]], second=names[other], key=key)
    return True, values[-1]


def merged(
    initial: Mapping[str, bytes],
    setters: Sequence[int],
    patches: Sequence[Patch | None],
    ancestors: Sequence[int],
    names: Sequence[str],
    merges: Mapping[str, str],
    *,
    strict: bool = True,
) -> dict[str, bytes]:
    """The whole context after those setters.

    With `strict=False` (the final context of a run) unordered setters are no conflict: the later in topological
    order wins.

    Raises:
        ContextConflict: only when strict.
    """
    context: dict[str, Any] = {**initial}
    mask = 0
    for index in setters:
        patch = patches[index]
        if patch:
            if ancestors[index] & mask != mask:
                return _disputed({**initial}, setters, patches, ancestors, names, merges, strict=strict)
            mask |= 1 << index  # it comes after all before it: what it sets overrules them
            context.update(patch)
    if None in context.values():
        return {key: value for key, value in context.items() if value is not None}
    return context


def _disputed(
    context: dict[str, bytes | None],
    setters: Sequence[int],
    patches: Sequence[Patch | None],
    ancestors: Sequence[int],
    names: Sequence[str],
    merges: Mapping[str, str],
    *,
    strict: bool,
) -> dict[str, bytes]:
    """The context after setters of which some have no order between them."""
    seen: dict[str, list[int]] = {}
    for index in setters:
        for key in patches[index] or ():
            seen.setdefault(key, []).append(index)
    for key, having in seen.items():
        if len(having) == 1 or not (strict or key in merges):
            context[key] = patches[having[-1]][key]  # type: ignore[index]  # `seen` holds only indices with a patch
        else:
            context[key] = resolve(key, having, patches, ancestors, names, merges)[1]
    return {key: value for key, value in context.items() if value is not None}


def combine(rule: str, values: Sequence[bytes]) -> bytes | None:
    """Merge unordered values of one key by the workflow's rule."""
    if not values:
        return None
    if rule == "last":
        return values[-1]
    if rule == "first":
        return values[0]
    decoded = [json.loads(value) for value in values]
    return encode_object({"value": MERGES[rule](decoded)})[len(b'{"value":') : -1]


def _concat(values: list[Any]) -> list[Any]:
    result: list[Any] = []
    for value in values:
        result += value if isinstance(value, list) else [value]
    return result


def _union(values: list[Any]) -> dict[str, Any]:
    return {key: item for value in values for key, item in value.items()}


MERGES: dict[str, Callable[[list[Any]], Any]] = {
    "last": lambda values: values[-1],
    "first": lambda values: values[0],
    "concat": _concat,
    "union": _union,
    "sum": sum,
    "min": min,
    "max": max,
}
"""The merge rules a workflow may name per context key, applied in topological order."""
