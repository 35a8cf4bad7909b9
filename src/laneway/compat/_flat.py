"""Nested JSON as rows of a path and a value, for tables."""

from collections.abc import Iterator
from typing import cast

__all__ = ["flat"]


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """`{"a": [1]}` as `("a[0]", "1")`."""
    if isinstance(value, dict):
        for key, inner in cast("dict[object, object]", value).items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from flat(inner, f"{prefix}[{index}]")
    else:
        yield prefix, str(value)
