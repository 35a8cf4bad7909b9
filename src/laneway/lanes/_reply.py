"""How a worker reads and writes JSON and whole pipes. Standard library only."""

import os
from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

from laneway._core.failures import failure_of, failure_record
from laneway._core.jsonvalue import check
from laneway._core.untyped import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


__all__ = ["decode", "encode", "plain", "read_exactly", "record_of", "write_all"]

_CHUNK = 65536
_LONG = 100
"""Characters from which looking twice at a text pays."""


class _Rules:
    """What the scanner of `json.JSONDecoder` is told; `json` itself would bring `re` and `enum` into every worker."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: ClassVar[dict[str, str]] = {}


_RULES: Any = _Rules
_NOTHING: Any = None
_scan = make_scanner(_RULES)
_plain = make_encoder(None, _NOTHING, encode_basestring_ascii, None, ":", ",", False, False, False)
_wide = make_encoder(None, _NOTHING, encode_basestring, None, ":", ",", False, False, False)


def decode(data: bytes) -> Any:
    """The value of JSON that an engine wrote.

    Raises:
        ValueError: it is not JSON.
    """
    text = str(data, "utf-8")
    try:
        return _scan(text, 0)[0]
    except StopIteration:
        raise ValueError(f"not JSON: {text[:60]!r}") from None


def encode(value: Any, root: str) -> bytes:
    """`value` as JSON; raises JsonInvalid with the path of what JSON cannot hold."""
    check(value, root)
    return _encoded(value)


_ESCAPED = bytes(code < 32 or code in b'"\\' for code in range(256))
"""1 for each byte that JSON does not take as it is."""


def _encoded(value: Any) -> bytes:
    if type(value) is str and len(value) > _LONG and '"' not in value and "\n" not in value:
        data = value.encode("utf-8", "backslashreplace")
        if 1 not in data.translate(_ESCAPED):  # half the time of looking at each character
            return b'"' + data + b'"'
    # The encoder for plain ASCII is more than twice as fast; what it had to escape is written as it is instead.
    text = encode_basestring_ascii(value) if type(value) is str else "".join(_plain(value, 0))
    if "\\u" in text:
        text = encode_basestring(value) if type(value) is str else "".join(_wide(value, 0))
    return text.encode("utf-8", "backslashreplace")


def plain(value: Any) -> bytes:
    """`value`, which is known to be JSON, as one line; lone surrogates become escapes."""
    return _encoded(value)


def record_of(error: BaseException) -> bytes:
    """An exception's failure record as JSON. Never raises."""
    try:
        return _encoded(failure_of(error))
    except BaseException as broken:  # noqa: BLE001 - no memory or no stack left: say at least what it was
        return _encoded(failure_record("other", type(error).__name__, f"({type(broken).__name__})"))


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
