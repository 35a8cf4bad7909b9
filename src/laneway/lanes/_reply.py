"""How a worker reads and writes JSON and whole pipes. Standard library only."""

import json
import os
from typing import Any

from laneway._core.failures import failure_of, failure_record
from laneway._core.jsonvalue import check

__all__ = ["decode", "encode", "read_exactly", "record_of", "write_all"]

decode = json.loads
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_CHUNK = 65536


def encode(value: Any, root: str) -> bytes:
    """`value` as JSON; raises JsonInvalid with the path of what JSON cannot hold."""
    check(value, root)
    return _encoder.encode(value).encode()


def record_of(error: BaseException) -> bytes:
    """An exception's failure record as JSON. Never raises."""
    try:
        return _encoder.encode(failure_of(error)).encode("utf-8", "backslashreplace")
    except BaseException as broken:  # noqa: BLE001 - no memory or no stack left: say at least what it was
        return _encoder.encode(
            failure_record("other", type(error).__name__, f"({type(broken).__name__})")
        ).encode()


def write_all(fd: int, data: bytes) -> None:
    """Write everything, waiting where the pipe is full."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(data):
            written += os.write(fd, rest[written:])


def read_exactly(fd: int, data: bytes, size: int) -> bytes | None:
    """`data` extended to at least `size` bytes; None when the pipe closed before."""
    missing = size - len(data)
    if missing <= 0:
        return data
    parts = [data]
    while missing > 0:
        part = os.read(fd, _CHUNK)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
