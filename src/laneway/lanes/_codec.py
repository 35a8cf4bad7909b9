"""JSON for lanes in the engine's own process: fast, and never silently lossy."""

import json
from typing import Any

import msgspec

from laneway._core.jsonvalue import has_wide_integer

__all__ = ["decode", "encode", "failure_body"]

decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def encode(value: Any, root: str) -> bytes:
    """`value` as JSON.

    Raises:
        JsonInvalid: JSON cannot hold it; msgspec alone would turn NaN into null and bytes into text.
    """
    if has_wide_integer(value, root):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return _encode(value)


def failure_body(record: Any) -> bytes:
    """A failure record as JSON; its texts are clean already."""
    return _encode(record)
